import { CniError } from "../../cni/error.ts";
import type { Fields } from "../../cni/fields.ts";
import type { Result } from "../../cni/result.ts";
import { macFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Seen } from "../../plan/seen.ts";
import { words } from "../../plan/step.ts";
import type { Lease, Sight } from "../plugin.ts";
import {
  addressed,
  arrive,
  configure,
  interimName,
  lostKind,
  parseRise,
  resultOf,
  type Rise,
  rise,
} from "./arrival.ts";

/** Reads a dummy configuration, which has nothing but `ipam`. */
export function parse(conf: Fields): Rise {
  const rise = parseRise(conf);
  if (!rise.layer3) throw new CniError("internal", "dummy interface requires an IPAM configuration");
  return rise;
}

/** Nothing of the host matters. */
export function sight(): Sight {
  return {};
}

/** Makes a link that leads nowhere. */
export function link(conf: Rise, at: Attachment): Plan {
  const [interim, mac] = [interimName(at), macFrom(at.digest)];
  const run = words`link add name ${interim} address ${mac} netns ${at.netns} type dummy`;
  return {
    steps: [{ tool: "ip", on: "host", run }, ...arrive(at), ...rise(conf, at.ifname)],
    result: resultOf(at, mac, {}),
  };
}

/** Gives it its addresses. */
export function address(rise: Rise, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, rise, names: [interimName(at), at.ifname] }),
    result: addressed(made, lease, lease.dns),
  };
}

/** Its kind. */
export function lost(_conf: Rise, { ifname }: Attachment, _made: Result, seen: Seen): string | undefined {
  return lostKind("dummy", {}, ifname, seen);
}

/** The kind. */
export function trial(): readonly string[] {
  return ["ip link add name try0 type dummy"];
}
