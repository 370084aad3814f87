import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Dns, Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { words } from "../../plan/step.ts";
import type { Lease, Lookups } from "../plugin.ts";
import {
  addressed,
  announce,
  type BringUp,
  bringUp,
  configure,
  parseBringUp,
  parseOwnDns,
  resultOf,
} from "./move_in.ts";
import {
  addOnMaster,
  findMaster,
  lostOnMaster,
  makeMaster,
  namesOf,
  needMaster,
  type Parent,
  parseParent,
  sightOfMaster,
  tryOnMaster,
} from "./master.ts";

interface Conf {
  readonly parent: Parent;
  readonly mode: string;
  /** 0 means the master's MTU. */
  readonly mtu: number;
  readonly bringUp: BringUp;
  /** It replaces IPAM's DNS settings. */
  readonly dns?: Dns;
}

/** Its links are on one of the host's, and have no end of their own there. */
export const apart = "link";

/** Reads an ipvlan configuration. */
export function parse(conf: Fields): Conf {
  return {
    parent: parseParent(conf),
    mode: parseMode(conf.string("mode") ?? "l2"),
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) ?? 0,
    bringUp: parseBringUp(conf),
    dns: parseOwnDns(conf),
  };
}

function parseMode(mode: string): string {
  if (["l2", "l3", "l3s"].includes(mode)) return mode;
  throw new CniError("internal", `unknown ipvlan mode: ${JSON.stringify(mode)}`);
}

/** Looks up the master. */
export function lookups(conf: Conf, _at: Attachment, made?: Result): Lookups {
  return sightOfMaster(parentOf(conf, made));
}

/** In a chain, a missing `master` means the interface that the previous plugins made. */
function parentOf({ parent }: Conf, before?: Result): Parent {
  return { ...parent, master: parent.master ?? before?.interfaces[0]?.name };
}

/** Links of several containers are on its master. */
export function sharedLink(conf: Conf, seen: HostState, before?: Result): string | undefined {
  return findMaster(parentOf(conf, before), seen)?.name;
}

/** Makes the link on its master. Without `ipam`, it gets the addresses of the chain's result. */
export function link(conf: Conf, at: Attachment, seen: HostState, before?: Result): Plan {
  const { mode, mtu } = conf;
  if (
    conf.parent.master === undefined && before &&
    (before.interfaces.length !== 1 || !before.interfaces[0]?.name)
  ) {
    throw new CniError("internal", "chained master failure. PrevResult lacks a single named interface");
  }
  const parent = parentOf(conf, before);
  const master = findMaster(parent, seen);
  const steps = [
    ...makeMaster(parent, seen),
    ...addOnMaster({ parent, master, mtu, type: words` type ipvlan mode ${mode}` }, at),
    ...announce(namesOf(parent, at)[0]!, [4, 6]),
  ];
  const result = resultOf(at, master?.mac, conf.dns);
  if (conf.bringUp.layer3) return { steps: [...steps, ...bringUp(conf.bringUp, at.ifname)], result };
  const more = address(conf, at, leaseOf(before), result);
  return { steps: [...steps, ...more.steps], result: more.result };
}

function leaseOf(before: Result | undefined): Lease {
  if (before && before.ips.length > 0) return { ips: before.ips, routes: before.routes, dns: {}, claims: [] };
  throw new CniError(
    "invalidConfig",
    'Cannot use type "ipvlan" without addresses: give it an "ipam" with a "type"',
  );
}

/** Adds the addresses. */
export function address(conf: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, bringUp: conf.bringUp, names: namesOf(conf.parent, at) }),
    result: addressed(made, lease, conf.dns),
  };
}

/**
 * Checks kind, mode and master. A master from the chain is not in the result and is not checked. Nor is the MTU, which
 * tuning may change.
 */
export function checkDrift(
  { parent, mode }: Conf,
  at: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  return lostOnMaster({ parent, kind: "ipvlan", details: { mode } }, at, seen);
}

/** Tests for the link's kind. */
export function kernelProbe({ mode }: Conf): readonly string[] {
  return tryOnMaster(words` type ipvlan mode ${mode}`);
}

/** Checks the master, unless it comes from the chain, as the addresses do. */
export function statusProblem({ parent, bringUp }: Conf, seen: HostState): void {
  if (parent.master !== undefined || bringUp.layer3) needMaster(parent, seen);
}
