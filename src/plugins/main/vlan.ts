import { CniError } from "../../cni/error.ts";
import type { Fields } from "../../cni/fields.ts";
import type { Dns, Result } from "../../cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Seen } from "../../plan/seen.ts";
import { words } from "../../plan/step.ts";
import type { Lease, Sight } from "../plugin.ts";
import { addressed, configure, parseOwnDns, parseRise, resultOf, type Rise, rise } from "./arrival.ts";
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
  /** The master's where it is 0. */
  readonly mtu: number;
  readonly rise: Rise;
  /** What counts in place of IPAM's. */
  readonly dns?: Dns;
}

/** Reads a vlan configuration. */
export function parse(conf: Fields): Conf {
  const [parent, rise] = [parseParent(conf), parseRise(conf)];
  if (parent.master === undefined) {
    throw wrong('"master" field is required. It specifies the host interface name to create the VLAN for');
  }
  if (!rise.layer3) throw wrong("failed to execute IPAM delegate: no plugin name provided");
  return {
    parent,
    id: parseId(conf.integer("vlanId") ?? 0),
    mtu: conf.integer("mtu") ?? 0,
    rise,
    dns: parseOwnDns(conf),
  };
}

/** The reference says 4095 and means 4094. */
function parseId(id: number): number {
  if (id >= 0 && id <= 4094) return id;
  throw wrong(`invalid VLAN ID ${id} (must be between 0 and 4095 inclusive)`);
}

function wrong(message: string): CniError {
  return new CniError("internal", message);
}

/** The master. */
export function sight({ parent }: Conf): Sight {
  return sightOfMaster(parent);
}

/** Makes the link on its master, whose MAC address it has. */
export function link({ parent, id, mtu, rise: when, dns }: Conf, at: Attachment, seen: Seen): Plan {
  const master = findMaster(parent, seen);
  checkMtu(mtu, master);
  return {
    steps: [
      ...addOnMaster({ parent, master, mtu, type: words` type vlan id ${id}` }, at),
      ...rise(when, at.ifname),
    ],
    result: resultOf(at, master?.mac, dns),
  };
}

/** Gives it its addresses. */
export function address({ parent, rise, dns }: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, rise, names: namesOf(parent, at) }),
    result: addressed(made, lease, dns),
  };
}

/** Kind, id and master. Its MTU may have been tuned. */
export function lost({ parent, id }: Conf, at: Attachment, _made: Result, seen: Seen): string | undefined {
  return lostOnMaster({ parent, kind: "vlan", details: { id } }, at, seen);
}

/** The kind. */
export function trial({ id }: Conf): readonly string[] {
  return tryOnMaster(words` type vlan id ${id}`);
}

/** The master. */
export function ready({ parent }: Conf, seen: Seen): void {
  needMaster(parent, seen);
}
