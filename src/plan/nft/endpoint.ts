/** What the rules let through, hold back and translate for one of a container's interfaces: elements of sets. */
import { addressOf, family, networkOf } from "../../net/address.ts";
import { type Line, words } from "../step.ts";
import { element, memberKey, setOf } from "./element.ts";
import type { PublishedPort } from "./ports.ts";

/** One of a container's interfaces as the host sees it: what its elements are known by. */
export interface Endpoint {
  /** The host's link that the container is reached through: the veth, or the bridge that this is a port of. */
  readonly link: string;
  /** The container's id and its link on the host; it stands beside elements of which there can be but one. */
  readonly owner: string;
}

/** Addresses with their prefix lengths. */
export type Addresses = readonly { readonly address: string }[];

/**
 * The addresses are the container's, and the others of their subnets its neighbours. Fails with "File exists" where
 * another container on the link has one of them.
 */
export function join(at: Endpoint, ips: Addresses): readonly Line[] {
  return [...believe(at, ips), ...neighbour(at, ips)];
}

/** The link is the container's own: what comes by it has its addresses, and these come by no other. */
export function guardVeth({ link }: Endpoint): readonly Line[] {
  return ["links", "routed"].map((set) => element(`inet ocinet ${set}`, words`"${link}"`));
}

/** Bridges, or links of the host's in their VLANs, that containers are on: what they lead elsewhere has their addresses. */
export function guardBridges(...links: readonly string[]): readonly Line[] {
  return links.map((link) => shared(element("inet ocinet bridges", words`"${link}" . "${link}"`)));
}

/** What a bridge of ours sends to the host itself has addresses that the host reaches by it. */
export function guardHost(...links: readonly string[]): readonly Line[] {
  return links.map((link) => shared(element("inet ocinet own_bridges", words`"${link}"`)));
}

/** Nothing for 127.0.0.0/8 comes by a link that has route_localnet. @param own it goes with the container */
export function guardLocalnet(link: string, own: boolean): Line {
  const guard = element("inet ocinet localnet", words`"${link}"`);
  return own ? guard : shared(guard);
}

/** The links go on forwarding nothing of the family to each other once forwarding is on. */
export function keepUnforwarded(version: 4 | 6, links: readonly string[]): Line {
  const key = links.map((link) => words`"${link}" . "${link}"`).join(", ");
  return { ...shared(element(`inet ocinet unforwarded${version}`, key)), before: true };
}

/** Goes with the table: others may need it by then. */
function shared({ undo: _, ...guard }: Line): Line {
  return { ...guard, undoBy: "gc" };
}

/** A container that is not on the link with the address asks no resolver there. */
export function guardResolver(address: string): Line {
  return shared(element(`inet ocinet resolvers${family(address)}`, words`${address}`));
}

/** What the container begins goes to its neighbours and the host, and nowhere else. */
export function keepInternal({ link }: Endpoint): Line {
  return element("inet ocinet internal", words`"${link}"`);
}

/** The same of all containers on a bridge. */
export function keepBridgeInternal(at: Endpoint): Line {
  return shared(keepInternal(at));
}

/** The addresses are believed on the link. */
export function believe({ link, owner }: Endpoint, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) => element(setOf("members", address), memberKey(link, address), { owner }));
}

/** The others of the addresses' subnets are the container's neighbours. */
export function neighbour({ link }: Endpoint, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) =>
    element(setOf("subnets", address), words`"${link}" . ${addressOf(address)} . ${networkOf(address)}`)
  );
}

/** Addresses of the container go out by the host's own, except to their own subnet. */
export function masquerade(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("masquerade", at, ips);
}

/** Only the container's own subnet, and what is published, reaches the container. */
export function contain(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("contained", at, ips);
}

/** What the addresses send, answers to it, and what is published on them, passes a FORWARD policy of DROP. */
export function letPass(at: Pick<Endpoint, "link">, ips: Addresses): readonly Line[] {
  return marked("passed", at, ips);
}

/** The world outside reaches the addresses even where they are contained. */
export function open(at: Endpoint, ips: Addresses): readonly Line[] {
  return marked("open", at, ips);
}

/** The world outside, and containers of other networks, reach this port of the container's by its own address. */
export function openPort(
  { link }: Endpoint,
  { address, protocol, port }: Pick<PublishedPort, "address" | "protocol" | "port">,
): Line {
  const key = `${memberKey(link, address)} . ${words`${protocol} . ${port}`}`;
  return element(setOf("opened", address), key);
}

/** Containers on other bridges that are kept apart do not reach the addresses; nor do, if isolated, those on the same. */
export function keepApart(at: Endpoint, ips: Addresses, isolated: boolean): readonly Line[] {
  return [...marked("apart", at, ips), ...(isolated ? marked("isolated", at, ips) : [])];
}

/** Clients of a published port are seen as the host: always, or not even where the way back needs it. */
export function masqueradeInbound(at: Endpoint, address: string, always: boolean): Line {
  return element(setOf(always ? "masked" : "unmasked", address), memberKey(at.link, address));
}

function marked(set: string, { link }: Pick<Endpoint, "link">, ips: Addresses): readonly Line[] {
  return ips.map(({ address }) => element(setOf(set, address), memberKey(link, address)));
}
