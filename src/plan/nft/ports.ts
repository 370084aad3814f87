/** Published ports: elements of maps. */
import { family } from "../../net/address.ts";
import { hostPortsIn, showHostPorts } from "../../net/port_mapping.ts";
import type { ElementResource } from "../resource.ts";
import { type Line, line, show, type Step, words } from "../step.ts";
import { element, elementsIn } from "./element.ts";
import type { ListedElement } from "./listing.ts";

/** A published port, or a range on all addresses that leads to the same numbers (port_mapping.ts). */
export interface PublishedPort {
  readonly protocol: string;
  readonly count?: number;
  readonly hostIp?: string;
  readonly hostPort: number;
  /** The container's address, of the family of `hostIp` if there is one. */
  readonly address: string;
  readonly port: number;
}

/**
 * The host's port leads to the container's. Fails with "File exists" when the port leads anywhere already: on its address,
 * or on all of them. That one on all addresses leads elsewhere on one, `takenByOther` tells.
 * @param beside the container has the port on all addresses itself
 */
export function forwardPort(owner: string, port: PublishedPort, beside = false): Line {
  const { set, key } = placeOf(port);
  const value = port.count === undefined ? words`${port.address} . ${port.port}` : words`${port.address}`;
  const made = element(`inet ocinet ${set}`, key, { owner, value });
  const all = portOnAll({ set: `inet ocinet ${set}`, key });
  if (all === undefined || beside) return made;
  const probe = `${all.set} { ${all.key} : ${value} }`;
  return { ...made, run: `create element ${probe}; delete element ${probe}; ${made.run}` };
}

/** The port is the container's, whichever program listens on it: the caller of a CNI plugin may do so only to hold it. */
export function holdPort({ protocol, hostPort, address }: PublishedPort): Line {
  return element(`inet ocinet held${family(address)}`, words`${protocol} . ${hostPort}`);
}

/** The port does not lead from [::1], which is then refused at once. */
export function sparePort6(port: PublishedPort): Line {
  return element(`inet ocinet no_loopback${port.count === undefined ? "" : "_ranges"}6`, placeOf(port).key);
}

/** The element of the same port on all addresses, for that of one on one address. */
export function portOnAll(
  { set, key }: Pick<ElementResource, "set" | "key">,
): { readonly set: string; readonly key: string } | undefined {
  const [table, name] = [set.slice(0, set.lastIndexOf(" ")), set.slice(set.lastIndexOf(" ") + 1)];
  if (!name.startsWith("hostports")) return undefined;
  return { set: `${table} ${name.replace("host", "")}`, key: key.split(" . ").slice(1).join(" . ") };
}

/**
 * The maps in which another container may have a port of an element, where no probe tells. A probe takes 13 ms, since the
 * kernel waits when an element is removed; a listing takes as long where there are some hundred elements.
 */
const others: Readonly<Record<string, readonly string[]>> = {
  hostports: ["ranges"],
  ports: ["hostports", "ranges"],
  ranges: ["ports", "hostports"],
};

/** The element of a range that would have the same port, for that of a single port. */
export function rangeWith(
  { set, key }: Pick<ElementResource, "set" | "key">,
): { readonly set: string; readonly key: string } | undefined {
  const family = /^inet ocinet (?:host)?ports([46])$/.exec(set)?.[1];
  return family === undefined
    ? undefined
    : { set: `inet ocinet ranges${family}`, key: key.split(" . ").slice(-2).join(" . ") };
}

/** The maps that have to be looked at when steps publish ports. */
export function mapsOfOthers(steps: readonly Step[]): readonly string[] {
  return [...new Set(steps.flatMap((step) => portIn(step)?.maps ?? []))].map((map) => `inet ocinet ${map}`);
}

/** The ports that a step publishes: their key, and the maps to look at. */
function portIn(
  step: Step,
): { readonly maps: readonly string[]; readonly key: string; readonly id: string } | undefined {
  const [element] = elementsIn([step]);
  const [, map, family] = /^inet ocinet ((?:host)?ports|ranges)([46])$/.exec(element?.set ?? "") ?? [];
  if (map === undefined || step.tool !== "nft") return undefined;
  return { maps: others[map]!.map((other) => other + family), key: element!.key, id: ownerIn(step) };
}

/** The first of the steps whose port is another container's in another map, with that one's element. */
export function takenByOther(
  steps: readonly Line[],
  listed: readonly ListedElement[],
): { readonly step: Line; readonly by: ListedElement } | undefined {
  const known = listed.map((one) => ({ one, ports: portsOf(one.key), id: one.owner?.split(" ")[0] }));
  for (const step of known.length === 0 ? [] : steps) {
    const own = portIn(step);
    const ports = own && portsOf(own.key);
    const by = ports &&
      known.find((other) =>
        own.maps.includes(other.one.set) && other.id !== own.id && overlap(other.ports, ports)
      );
    if (by) return { step, by: by.one };
  }
  return undefined;
}

/** What an element's key ends with. */
interface Ports {
  readonly protocol: string;
  readonly first: number;
  readonly last: number;
}

function portsOf(key: string): Ports {
  const [ports, protocol] = key.split(" . ").toReversed() as [string, string];
  const [first, last] = hostPortsIn(ports);
  return { protocol, first, last };
}

function overlap(one: Ports, other: Ports): boolean {
  return one.protocol === other.protocol && one.first <= other.last && other.first <= one.last;
}

/** Whether an element is of a port. */
export function isOfHostPort(
  key: string,
  { protocol, port }: { readonly protocol: string; readonly port: number },
): boolean {
  return overlap(portsOf(key), { protocol, first: port, last: port });
}

/** The container that an element of a step names. */
export function ownerIn({ run }: Line): string {
  return / comment "([^" ]*)/.exec(run)?.[1] ?? "";
}

/** What adding an element is for, in words for the message that it cannot be. */
export function showElementStep(step: Step): string {
  const [{ set, key } = { set: "", key: "" }] = elementsIn([step]);
  const words = key.replaceAll('"', "").split(" . ");
  const [port, protocol, address] = words.toReversed();
  if (/ports|ranges/.test(set)) {
    return `publish port ${port}/${protocol}${address === undefined ? "" : ` on ${address}`}`;
  }
  return set.includes("members") ? `use address ${port} on link ${protocol}` : `do "${show([step])}"`;
}

/** Where a port stands: the map for its family, and its key there. */
function placeOf(port: PublishedPort): { set: string; key: string } {
  const { protocol, hostIp, count, address } = port;
  const own = words`${protocol} . ${showHostPorts(port)}`;
  return hostIp === undefined
    ? { set: `${count === undefined ? "ports" : "ranges"}${family(address)}`, key: own }
    : { set: `hostports${family(address)}`, key: `${words`${hostIp}`} . ${own}` };
}

/**
 * The same only for packets that meet a condition in nft's words: the port leads to a chain of its own with one rule. A
 * packet that does not meet it goes on, maybe to another container.
 * @param veth begins the chain's name, by which it is found again
 */
export function forwardPortWhen(
  owner: string,
  port: PublishedPort,
  condition: string,
  veth: string,
): readonly Line[] {
  const { protocol, hostIp, hostPort, address } = port;
  const [{ set, key }, f] = [placeOf(port), family(address)];
  const place = hostIp === undefined ? [] : [hostIp.replaceAll(":", ".")];
  const name = words`${[veth, protocol, hostPort, f, ...place].join("_")}`;
  const chain = `inet ocinet ${name}`;
  const way = f === 4 ? words`dnat ip to ${address}:` : `dnat ip6 to [${words`${address}`}]:`;
  const rule = `meta nfproto ipv${f} ${protocol} dport ${hostPort} ${condition} ${way}${port.port}`;
  const lead = element(`inet ocinet when${set}`, key, { owner, value: `jump ${name}` });
  return [
    line(
      ...["nft", "host", { kind: "chain", table: "inet ocinet", chain: name }] as const,
      `add chain ${chain}; flush chain ${chain}; add rule ${chain} ${rule}`,
      { undo: `add chain ${chain}\ndelete chain ${chain}` },
    ),
    { ...lead, undo: `add chain ${chain}\n${lead.undo}` },
  ];
}
