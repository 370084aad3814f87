import { CniError } from "../../cni/error.ts";
import type { Fields } from "../../cni/fields.ts";
import type { Dns, Result } from "../../cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Seen } from "../../plan/seen.ts";
import { words } from "../../plan/step.ts";
import type { Lease, Sight } from "../plugin.ts";
import {
  addressed,
  announce,
  configure,
  parseOwnDns,
  parseRise,
  resultOf,
  type Rise,
  rise,
} from "./arrival.ts";
import {
  addOnMaster,
  findMaster,
  lostOnMaster,
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
  /** The master's where it is 0. */
  readonly mtu: number;
  readonly rise: Rise;
  /** What counts in place of IPAM's. */
  readonly dns?: Dns;
}

/** Reads an ipvlan configuration. */
export function parse(conf: Fields): Conf {
  return {
    parent: parseParent(conf),
    mode: parseMode(conf.string("mode") ?? "l2"),
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) ?? 0,
    rise: parseRise(conf),
    dns: parseOwnDns(conf),
  };
}

function parseMode(mode: string): string {
  if (["l2", "l3", "l3s"].includes(mode)) return mode;
  throw new CniError("internal", `unknown ipvlan mode: ${JSON.stringify(mode)}`);
}

/** The master. */
export function sight(conf: Conf, _at: Attachment, made?: Result): Sight {
  return sightOfMaster(parentOf(conf, made));
}

/** In a chain, one that names no master is made on the interface of the plugins before it. */
function parentOf({ parent }: Conf, before?: Result): Parent {
  return { ...parent, master: parent.master ?? before?.interfaces[0]?.name };
}

/** Makes the link on its master; without `ipam`, it gets the addresses of the chain's result. */
export function link(conf: Conf, at: Attachment, seen: Seen, before?: Result): Plan {
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
    ...addOnMaster({ parent, master, mtu, type: words` type ipvlan mode ${mode}` }, at),
    ...announce(namesOf(parent, at)[0]!, [4, 6]),
  ];
  const result = resultOf(at, master?.mac, conf.dns);
  if (conf.rise.layer3) return { steps: [...steps, ...rise(conf.rise, at.ifname)], result };
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

/** Gives it its addresses. */
export function address(conf: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, rise: conf.rise, names: namesOf(conf.parent, at) }),
    result: addressed(made, lease, conf.dns),
  };
}

/** Kind, mode and master; one that the chain gave is not in the result any more. Its MTU may have been tuned. */
export function lost({ parent, mode }: Conf, at: Attachment, _made: Result, seen: Seen): string | undefined {
  return lostOnMaster({ parent, kind: "ipvlan", details: { mode } }, at, seen);
}

/** The kind. */
export function trial({ mode }: Conf): readonly string[] {
  return tryOnMaster(words` type ipvlan mode ${mode}`);
}

/** The master, unless it is to come from the chain, as addresses do. */
export function ready({ parent, rise }: Conf, seen: Seen): void {
  if (parent.master !== undefined || rise.layer3) needMaster(parent, seen);
}
