/** Judges what was seen of a way: observations in, hops out. */
import { addressOf } from "../../net/address.ts";
import { elementsIn } from "../../plan/nft/element.ts";
import { portHops } from "./judge_port.ts";
import { hop, hostHops, insideHops, kernelHops, mend, routedAddresses } from "./judge_side.ts";
import { tellWay, wayHops } from "./judge_way.ts";
import type { Hop, Seen } from "./seen.ts";

/** All hops from the container to its target, in the order in which a packet comes by them. */
export function judge(seen: Seen): readonly Hop[] {
  const { from, address, target } = seen;
  const inside = insideHops(from);
  if (from.described.state === "dead") return inside;
  const all = [
    ...portHops(seen),
    ...inside,
    // A port of a network that leads nowhere is answered by way of the host.
    ...(address === undefined ? [] : wayHops(from, address, target.kind !== "port")),
    ...hostHops(from),
    ...kernelHops(from),
    ...forwardingHops(seen),
    ...chainHops(seen),
    ...firewallHops(seen),
    ...outHops(seen),
    ...otherSide(seen),
    ...nameHops(seen),
  ];
  // Two containers have a bridge in common.
  return all.filter((one, i) => all.findIndex(({ layer, at }) => layer === one.layer && at === one.at) === i);
}

function forwardingHops({ switches, from }: Seen): readonly Hop[] {
  if (switches.size === 0) return [];
  const off = [...switches].filter(([, value]) => value === "0").map(([key]) => key);
  // The first of them turns off all others of its family.
  const main = off.filter((key) =>
    key === "net/ipv4/ip_forward" || !off.includes("net/ipv4/ip_forward") || /ipv6/.test(key)
  );
  const set = main.map((key) => `sysctl -w ${key}=1`).join("; ");
  return [hop("forwarding", "host", {
    found: off.length === 0 ? "on" : `off by ${main.map((key) => key.replaceAll("/", ".")).join(", ")}`,
    expected: "on",
    ok: off.length === 0,
    remedy: `${set}, or ${mend(from)}; look for who turned it off in /etc/sysctl.d`,
  })];
}

function chainHops({ emptyChains, forwarded, from }: Seen): readonly Hop[] {
  if (!forwarded || elementsIn(from.steps).length === 0) return [];
  return [hop("rules", "chains of table inet ocinet", {
    found: emptyChains.length === 0 ? "have rules" : `without a rule: ${emptyChains.join(", ")}`,
    expected: "have rules",
    ok: emptyChains.length === 0,
    remedy: `nft delete table inet ocinet; then ${mend(from)}`,
  })];
}

/** Each chain of another program's has its own say in what is forwarded. */
function firewallHops({ forward }: Seen): readonly Hop[] {
  return forward.map(({ name, status, found, remedy = "" }) =>
    hop("firewall", name, { found, expected: "lets containers' traffic pass", ok: status === "ok", remedy })
  );
}

/** The host's own route to the target. */
function outHops({ hostWay, hostLink, address }: Seen): readonly Hop[] {
  if (hostWay === undefined) return [];
  const route = hop("host route", `to ${address}`, {
    found: tellWay(hostWay),
    expected: "a route",
    ok: hostWay.problem === undefined,
    remedy: "give the host a route there: ip route add DESTINATION via ROUTER",
  });
  if (hostLink === undefined || hostWay.type === "local") return [route];
  const link = hop("host link", hostLink.name, {
    ...{ found: hostLink.up ? "up" : "down", expected: "up", ok: hostLink.up === true },
    remedy: `ip link set dev ${hostLink.name} up`,
  });
  return [route, link];
}

/** What leads to the other container, and its way back. */
function otherSide(seen: Seen): readonly Hop[] {
  const { to, from, address } = seen;
  if (to === undefined) return [];
  const inside = insideHops(to);
  if (to.described.state === "dead") return inside;
  const back = from.described.networks.flatMap(({ ips }) => ips.map(addressOf))
    .find((ip) => ip.includes(":") === address?.includes(":"));
  return [
    ...apartHops(seen),
    ...hostHops(to),
    ...kernelHops(to),
    ...inside,
    ...(back === undefined ? [] : wayHops(to, back)),
  ];
}

/** Networks are kept apart from each other, and some keep their own containers apart. */
function apartHops({ from, to, shared, address }: Seen): readonly Hop[] {
  const ids = [from, to!].map(({ described: { id } }) => id);
  const [mine, theirs] = [from, to!].map(({ described: { networks } }) => networks[0]?.name ?? "none");
  if (address === undefined) {
    return [hop("address", ids[1]!, {
      found: `none of a family that ${ids[0]} has`,
      ...{ expected: "an address", ok: false },
      remedy: `connect both to one network: ocinet network connect NETWORK ${ids[1]}`,
    })];
  }
  const isIn = (set: string) =>
    elementsIn(to!.steps).some((one) =>
      one.set.startsWith(`inet ocinet ${set}`) && one.key.endsWith(` . ${address}`)
    );
  const isShut = shared === undefined && routedAddresses(to!.steps).length > 0 && isIn("contained");
  const isApart = shared !== undefined && isIn("isolated");
  return [hop("network", ids.join(", "), {
    found: isApart
      ? `${shared} keeps its containers apart`
      : shared === undefined
      ? `they share no network: ${mine}, ${theirs}`
      : shared,
    expected: "a network that both are on",
    ok: !isShut && !isApart,
    remedy: isApart
      ? `connect both to a network that does not: ocinet network connect NETWORK ${ids[0]}`
      : `ocinet network connect ${theirs} ${ids[0]}`,
  })];
}

/** Said only: whether a name server answers is another question. */
function nameHops({ nameServers, from, target }: Seen): readonly Hop[] {
  if (nameServers.length === 0 || target.kind === "port") return [];
  const found = nameServers.join(", ");
  return [
    hop("names", `name servers of ${from.described.id}`, { found, expected: "", ok: true, remedy: "" }),
  ];
}
