import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import { macFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { line, words } from "../../plan/step.ts";
import type { Lease, Lookups } from "../plugin.ts";
import {
  addressed,
  type BringUp,
  bringUp,
  configure,
  interimName,
  lostKind,
  moveIn,
  parseBringUp,
  resultOf,
} from "./move_in.ts";

/** Its links have no end on the host. */
export const apart = "alone";

/** Reads a dummy configuration. It has only `ipam`. */
export function parse(conf: Fields): BringUp {
  const bringUp = parseBringUp(conf);
  if (!bringUp.layer3) throw new CniError("internal", "dummy interface requires an IPAM configuration");
  return bringUp;
}

/** Needs no look-ups. */
export function lookups(): Lookups {
  return {};
}

/** Makes a dummy link. */
export function link(conf: BringUp, at: Attachment): Plan {
  const [interim, mac] = [interimName(at), macFrom(at.digest)];
  const run = words`link add name ${interim} address ${mac} netns ${at.netns} type dummy`;
  return {
    steps: [
      line("ip", "host", { kind: "link", link: interimName(at) }, run),
      ...moveIn(at),
      ...bringUp(conf, at.ifname),
    ],
    result: resultOf(at, mac, {}),
  };
}

/** Adds the addresses. */
export function address(bringUp: BringUp, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, bringUp, names: [interimName(at), at.ifname] }),
    result: addressed(made, lease, lease.dns),
  };
}

/** Checks the link's kind. */
export function checkDrift(
  _conf: BringUp,
  { ifname }: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  return lostKind("dummy", {}, ifname, seen);
}

/** Tests for the link's kind. */
export function kernelProbe(): readonly string[] {
  return ["ip link add name try0 type dummy"];
}
