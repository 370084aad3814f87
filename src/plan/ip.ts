import type { Line, Place } from "./step.ts";
import { type Hole, words } from "./step.ts";
import type { Route } from "../wire/cni/result.ts";
import { family, lengthOf } from "../net/address.ts";

/** The alias (ifalias in /sys) of shared links that we made: they may go when nothing is on them any more. */
export const ownAlias = "ocinet";

/** One end of a veth. */
export interface VethEnd {
  readonly name: string;
  readonly mac: string;
}

/** A veth pair, both ends named, the peer in the container from the start. */
export interface Veth {
  readonly host: VethEnd;
  readonly container: VethEnd;
  readonly netns: string;
  readonly mtu?: number;
  readonly master?: string;
}

/** Makes a veth pair; removing the host's end removes both. */
export function addVeth({ host, container, netns, mtu, master }: Veth): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const port = master === undefined ? "" : words` master ${master}`;
  return {
    tool: "ip",
    on: "host",
    run: words`link add name ${host.name} address ${host.mac}` + size + port + " type veth " +
      words`peer name ${container.name} address ${container.mac}` + size + words` netns ${netns}`,
    undo: words`link del dev ${host.name}`,
  };
}

/** The host's end of the veth that a line makes, if it makes one. */
export function hostEndOf(line: string): string | undefined {
  return /^link add name (\S+) .* type veth peer /.exec(line)?.[1];
}

/** Makes a bridge with an address of its own: one without takes its lowest port's, and changes as ports come and go. */
export function addBridge(name: string, mac: string, mtu: number | undefined, filtering: boolean): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const options = filtering ? " vlan_filtering 1" : "";
  return {
    tool: "ip",
    on: "host",
    run: words`link add name ${name} address ${mac}` + size + " type bridge" + options,
    shared: true,
  };
}

/** Sets link attributes that need no undoing, in `ip link set`'s words. */
export function setLink(on: Place, name: string, ...attributes: readonly Hole[]): Line {
  return {
    tool: "ip",
    on,
    run: words`link set dev ${name}` + attributes.map((word) => words` ${word}`).join(""),
  };
}

/**
 * Gives a link an address, and with an IPv4 one its subnet's broadcast address, if it has any. Duplicate address
 * detection is left out: we chose the address, and nothing waits for it.
 */
export function addAddress(on: Place, address: string, link: string): Line {
  const flag = family(address) === 6 ? " nodad" : lengthOf(address) <= 30 ? " brd +" : "";
  return { tool: "ip", on, run: words`address replace ${address} dev ${link}` + flag };
}

/** Adds a route on a link, in the main table unless it names another. */
export function addRoute(
  on: Place,
  { dst, gw, mtu, advmss, priority, table, scope }: Route,
  link: string,
): Line {
  const options: readonly (readonly [string, Hole | undefined])[] = [
    ["via", gw],
    ["dev", link],
    ["metric", priority],
    ["table", table],
    ["scope", scope],
    ["mtu", mtu],
    ["advmss", advmss],
  ];
  const tail = options.map(([word, value]) => value === undefined ? "" : ` ${word} ` + words`${value}`).join(
    "",
  );
  return { tool: "ip", on, run: words`route add ${dst}` + tail };
}

/**
 * Takes answers to ::1 in by a link, which the kernel otherwise does by the loopback link alone (rt6_need_strict in
 * net/ipv6/route.c): a connection led from ::1 to a container is answered so. A packet that was sent to ::1 is dropped
 * before any rule or route (ip6_rcv_core), so nobody gets in by this. The metric keeps the routes of several links apart:
 * made of the name, so that the line may be done again.
 */
export function acceptLoopbackAnswers(link: string): Line {
  const metric = [...link].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 2 ** 30, 0) + 1024;
  const route = words`local ::1/128 dev ${link} table local metric ${metric}`;
  return {
    ...{ tool: "ip", on: "host", optional: true },
    run: `route replace ${route}`,
    undo: `route del ${route}`,
  };
}
