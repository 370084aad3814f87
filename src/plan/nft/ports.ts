/** Published ports: elements of maps. */
import { family } from "../../net/address.ts";
import type { ElementResource } from "../resource.ts";
import { type Line, line, show, type Step, words } from "../step.ts";
import { element, elementsIn } from "./element.ts";
import type { ListedElement } from "./listing.ts";

/** A published port. */
export interface PublishedPort {
  readonly protocol: string;
  readonly hostIp?: string;
  readonly hostPort: number;
  /** The container's address, of the family of `hostIp` if there is one. */
  readonly address: string;
  readonly port: number;
}

/**
 * The host's port leads to the container's. Fails with "File exists" when the port leads anywhere already: on its address,
 * or on all of them. That one on all addresses leads elsewhere on one, `takenOnOne` tells.
 * @param beside the container has the port on all addresses itself
 */
export function forwardPort(owner: string, port: PublishedPort, beside = false): Line {
  const { set, key } = placeOf(port);
  const value = words`${port.address} . ${port.port}`;
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
export function sparePort6({ protocol, hostPort }: PublishedPort): Line {
  return element("inet ocinet no_loopback6", words`${protocol} . ${hostPort}`);
}

/** The element of the same port on all addresses, for that of one on one address. */
export function portOnAll(
  { set, key }: Pick<ElementResource, "set" | "key">,
): { readonly set: string; readonly key: string } | undefined {
  const [table, name] = [set.slice(0, set.lastIndexOf(" ")), set.slice(set.lastIndexOf(" ") + 1)];
  if (!name.startsWith("hostports")) return undefined;
  return { set: `${table} ${name.replace("host", "")}`, key: key.split(" . ").slice(1).join(" . ") };
}

/** The maps of ports on one address that have to be looked at when steps publish ports on all. */
export function mapsOfOne(steps: readonly Step[]): readonly string[] {
  return [...new Set(steps.flatMap((step) => onAll(step)?.map ?? []))];
}

function onAll(
  step: Step,
): { readonly map: string; readonly key: string; readonly id: string } | undefined {
  const [element] = elementsIn([step]);
  const family = /^inet ocinet ports([46])$/.exec(element?.set ?? "")?.[1];
  if (element === undefined || family === undefined || step.tool !== "nft") return undefined;
  return { map: `inet ocinet hostports${family}`, key: element.key, id: ownerIn(step) };
}

/** The first of the steps whose port on all addresses is another container's on one, with that one's element. */
export function takenOnOne(
  steps: readonly Line[],
  listed: readonly ListedElement[],
): { readonly step: Line; readonly by: ListedElement } | undefined {
  for (const step of steps) {
    const all = onAll(step);
    const by = all &&
      listed.find(({ set, key, owner }) =>
        `inet ocinet ${set}` === all.map && key.endsWith(` . ${all.key}`) && owner?.split(" ")[0] !== all.id
      );
    if (by) return { step, by };
  }
  return undefined;
}

function ownerIn({ run }: Line): string {
  return / comment "([^" ]*)/.exec(run)?.[1] ?? "";
}

/** What adding an element is for, in words for the message that it cannot be. */
export function showElementStep(step: Step): string {
  const [{ set, key } = { set: "", key: "" }] = elementsIn([step]);
  const words = key.replaceAll('"', "").split(" . ");
  const [port, protocol, address] = words.toReversed();
  if (set.includes("ports")) {
    return `publish port ${port}/${protocol}${address === undefined ? "" : ` on ${address}`}`;
  }
  return set.includes("members") ? `use address ${port} on link ${protocol}` : `do "${show([step])}"`;
}

/** Where a port stands: the map for its family, and its key there. */
function placeOf({ protocol, hostIp, hostPort, address }: PublishedPort): { set: string; key: string } {
  const own = words`${protocol} . ${hostPort}`;
  return hostIp === undefined
    ? { set: `ports${family(address)}`, key: own }
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
