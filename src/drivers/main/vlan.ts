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
  type BringUp,
  bringUp,
  configure,
  parseBringUp,
  parseOwnDns,
  resultOf,
} from "./move_in.ts";
import {
  addOnMaster,
  checkMtu,
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
  readonly id: number;
  /** 0 means the master's MTU. */
  readonly mtu: number;
  readonly bringUp: BringUp;
  /** It replaces IPAM's DNS settings. */
  readonly dns?: Dns;
}

/** Its links are on one of the host's, and have no end of their own there. */
export const apart = "link";

/** Reads a vlan configuration. */
export function parse(conf: Fields): Conf {
  const [parent, bringUp] = [parseParent(conf), parseBringUp(conf)];
  if (parent.master === undefined) {
    throw wrong('"master" field is required. It specifies the host interface name to create the VLAN for');
  }
  if (!bringUp.layer3) throw wrong("failed to execute IPAM delegate: no plugin name provided");
  return {
    parent,
    id: parseId(conf.integer("vlanId") ?? 0),
    mtu: conf.integer("mtu") ?? 0,
    bringUp,
    dns: parseOwnDns(conf),
  };
}

/** Reads a VLAN id. The reference's message says 4095, but it allows up to 4094. */
function parseId(id: number): number {
  if (id >= 0 && id <= 4094) return id;
  throw wrong(`invalid VLAN ID ${id} (must be between 0 and 4095 inclusive)`);
}

function wrong(message: string): CniError {
  return new CniError("internal", message);
}

/** Looks up the master. */
export function lookups({ parent }: Conf): Lookups {
  return sightOfMaster(parent);
}

/** Makes the link on its master. It has the master's MAC address. */
export function link({ parent, id, mtu, bringUp: when, dns }: Conf, at: Attachment, seen: HostState): Plan {
  const master = findMaster(parent, seen);
  checkMtu(mtu, master);
  return {
    steps: [
      ...addOnMaster({ parent, master, mtu, type: words` type vlan id ${id}`, vlan: id }, at),
      ...bringUp(when, at.ifname),
    ],
    result: resultOf(at, master?.mac, dns),
  };
}

/** Adds the addresses. */
export function address({ parent, bringUp, dns }: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, bringUp, names: namesOf(parent, at) }),
    result: addressed(made, lease, dns),
  };
}

/** Checks kind, id and master, but not the MTU, which tuning may change. */
export function checkDrift(
  { parent, id }: Conf,
  at: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  return lostOnMaster({ parent, kind: "vlan", details: { id } }, at, seen);
}

/** Tests for the link's kind. */
export function kernelProbe({ id }: Conf): readonly string[] {
  return tryOnMaster(words` type vlan id ${id}`);
}

/** Checks the master. */
export function statusProblem({ parent }: Conf, seen: HostState): void {
  needMaster(parent, seen);
}
