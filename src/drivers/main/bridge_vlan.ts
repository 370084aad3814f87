import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { macFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { ownAlias, setLink } from "../../plan/ip.ts";
import { type Line, line, type Step, words } from "../../plan/step.ts";
import { disableDuplicateDetection } from "./veth.ts";

/** The VLANs of a bridge port: `id` untagged (0 for none), `trunk` tagged. */
export interface Vlans {
  readonly id: number;
  readonly trunk?: readonly { readonly min: number; readonly max: number }[];
  readonly keepDefault: boolean;
}

/** Reads `vlanTrunk`. Each entry has an `id`, or a range from `minID` to `maxID`. */
export function parseTrunk(entries: readonly Fields[] | undefined): Vlans["trunk"] {
  return entries?.flatMap((entry) => {
    const [id, min, max] = ["id", "minID", "maxID"].map((key) => entry.integer(key));
    for (const [key, value] of Object.entries({ id, minID: min, maxID: max })) {
      if (value !== undefined && (value < 0 || value > 4094)) throw wrong(`incorrect trunk ${key} parameter`);
    }
    if (min !== undefined && max !== undefined && min > max) {
      throw wrong("minID is greater than maxID in trunk parameter");
    }
    if ((min === undefined) !== (max === undefined)) {
      const missing = min === undefined ? "minID" : "maxID";
      throw wrong(`minID and maxID should be configured simultaneously, ${missing} is missing`);
    }
    return [
      ...(min === undefined ? [] : [{ min, max: max! }]),
      ...(id === undefined ? [] : [{ min: id, max: id }]),
    ];
  });
}

function wrong(message: string): CniError {
  return new CniError("internal", message);
}

/**
 * The lines that add a port to its VLANs and remove it from the bridge's default VLAN. The untagged VLAN is set last,
 * because a trunk range that includes it would make it tagged.
 */
export function portVlans(
  port: string,
  { id, trunk, keepDefault }: Vlans,
  byDefault = 1,
): readonly Line[] {
  const tagged = trunk ?? [];
  if (id === 0 && tagged.length === 0) return [];
  const untagged = id === 0 ? byDefault : id;
  return [
    ...(keepDefault || byDefault === 0
      ? []
      : [{ ...vlan("del", port, String(byDefault)), removes: true as const }]),
    ...tagged.map(({ min, max }) => vlan("add", port, min === max ? String(min) : `${min}-${max}`)),
    ...(untagged === 0 ? [] : [vlan("add", port, String(untagged), " pvid untagged")]),
  ];
}

function vlan(verb: "add" | "del", port: string, id: string, flags = ""): Line {
  const run = words`vlan ${verb} dev ${port} vid ${id}` + flags;
  return line("bridge", "host", { kind: "vlan", port, vlan: id }, run);
}

/** Whether the bridge must filter VLANs. */
export function isFiltering({ id, trunk }: Vlans): boolean {
  return id !== 0 || trunk !== undefined;
}

/** The command that lists the VLANs of a port. */
export function vlansOn(port: string): string {
  return `bridge -j vlan show dev ${port}`;
}

/** The first VLAN that a port has lost. @param answer the output of that command */
export function lostVlans(port: string, vlans: Vlans, answer = ""): string | undefined {
  const [found] = JSON.parse(answer || "[]") as readonly {
    vlans?: readonly { vlan: number; vlanEnd?: number }[];
  }[];
  const isIn = (id: number) => found?.vlans?.some(({ vlan, vlanEnd = vlan }) => vlan <= id && id <= vlanEnd);
  const tagged = (vlans.trunk ?? []).flatMap(({ min, max }) => [min, max]);
  const gone = [...(vlans.id === 0 ? [] : [vlans.id]), ...tagged].find((id) => !isIn(id));
  return gone === undefined ? undefined : `bridge port "${port}" is no longer in VLAN ${gone}`;
}

/** The properties of a bridge that its VLAN links need. */
interface Bridge {
  readonly bridge: string;
  readonly mtu?: number;
  readonly vlans: Vlans;
}

/** Makes a veth from the host to a bridge port, so that the host has a link in the VLAN. */
export function makeVlanLink(
  { bridge, vlans, mtu }: Bridge,
  at: Attachment,
  byDefault?: number,
): readonly Step[] {
  const [name, port] = [vlanLink(bridge, vlans.id), vlanPort(bridge, vlans.id)];
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  // The port's end comes first, because the kernel ignores `master` for a peer.
  const run = words`link add name ${port}` + size + words` master ${bridge}` +
    words` type veth peer name ${name} address ${vlanMac(at, vlans.id)}` + size;
  return [
    line("ip", "host", { kind: "link", link: port }, run, { onError: "ignore-exists" }),
    setLink("host", port, "up"),
    setLink("host", name, "alias", ownAlias, "up"),
    ...disableDuplicateDetection(name),
    ...portVlans(port, { ...vlans, trunk: undefined }, byDefault),
  ];
}

/** The name of the host's link in a VLAN of the bridge. */
export function vlanLink(bridge: string, id: number): string {
  return `${bridge}.${id}`;
}

/** The name of the port. It is as long as the link's name, and unique for the bridge. */
function vlanPort(bridge: string, id: number): string {
  return `${bridge}+${id}`;
}

/** The link's MAC address. */
export function vlanMac(at: Attachment, id: number): string {
  return macFrom(at.networkDigest.slice(0, 64) + id.toString(16).padStart(4, "0"));
}
