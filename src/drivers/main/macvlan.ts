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
  chooseMac,
  configure,
  parseBringUp,
  parseOwnDns,
  parseWantedMac,
  resultOf,
  type WantedMac,
} from "./move_in.ts";
import {
  addOnMaster,
  checkMtu,
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
  readonly mac: WantedMac;
  /** The length of the broadcast queue; 0 means the kernel's default. */
  readonly queue: number;
  readonly bringUp: BringUp;
  /** It replaces IPAM's DNS settings. */
  readonly dns?: Dns;
}

/** It reads `MAC`. */
export const readsArgs = true;

/** Its links are on one of the host's, and have no end of their own there. */
export const apart = "link";

/** Links of several containers are on its master. */
export function sharedLink({ parent }: Conf, seen: HostState): string | undefined {
  return findMaster(parent, seen)?.name;
}

/** Reads a macvlan configuration. */
export function parse(conf: Fields): Conf {
  return {
    parent: parseParent(conf),
    mode: parseMode(conf.string("mode") ?? "bridge"),
    mtu: conf.integer("mtu") ?? 0,
    mac: parseWantedMac(conf),
    queue: conf.integer("bcqueuelen", { min: 0, max: 2 ** 32 - 1 }) ?? 0,
    bringUp: parseBringUp(conf),
    dns: parseOwnDns(conf),
  };
}

function parseMode(mode: string): string {
  if (["bridge", "private", "vepa", "passthru"].includes(mode)) return mode;
  throw new CniError("internal", `unknown macvlan mode: ${JSON.stringify(mode)}`);
}

/** Looks up the master. */
export function lookups({ parent }: Conf): Lookups {
  return sightOfMaster(parent);
}

/** Makes the link on its master. */
export function link(conf: Conf, at: Attachment, seen: HostState): Plan {
  const { parent, mode, mtu, queue } = conf;
  const master = findMaster(parent, seen);
  checkMtu(mtu, master);
  const chosen = chooseMac(conf.mac, at);
  // In this mode the kernel always uses the master's MAC address.
  const mac = mode === "passthru" ? undefined : chosen;
  const type = words` type macvlan mode ${mode}` + (queue === 0 ? "" : words` bcqueuelen ${queue}`);
  return {
    steps: [
      ...makeMaster(parent, seen),
      ...addOnMaster({ parent, master, mac, mtu, type }, at),
      ...(conf.bringUp.layer3 ? announce(namesOf(parent, at)[0]!, [4, 6]) : []),
      ...bringUp(conf.bringUp, at.ifname),
    ],
    result: resultOf(at, mac ?? master?.mac, conf.dns),
  };
}

/** Adds the addresses. */
export function address({ parent, bringUp, dns }: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, bringUp, names: namesOf(parent, at) }),
    result: addressed(made, lease, dns),
  };
}

/** Checks kind, mode and master, but not the MTU, which tuning may change. */
export function checkDrift(
  { parent, mode }: Conf,
  at: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  return lostOnMaster({ parent, kind: "macvlan", details: { mode } }, at, seen);
}

/** Tests for the link's kind. */
export function kernelProbe({ mode }: Conf): readonly string[] {
  return tryOnMaster(words` type macvlan mode ${mode}`);
}

/** Checks the master. */
export function statusProblem({ parent }: Conf, seen: HostState): void {
  needMaster(parent, seen);
}
