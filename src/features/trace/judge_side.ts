/** What is right and wrong of one container's own side, and of the host's end of it. */
import { addressOf } from "../../net/address.ts";
import type { Link } from "../../plan/host_state.ts";
import { elementsIn } from "../../plan/nft/element.ts";
import { linkOf } from "../../plan/resource.ts";
import type { Step } from "../../plan/step.ts";
import type { Hop, Side } from "./seen.ts";

/** A hop: its remedy is of no use where all is right. */
export function hop(layer: string, at: string, seen: Omit<Hop, "layer" | "at">): Hop {
  const { found, expected, ok, remedy } = seen;
  return { layer, at, found, expected, ok, remedy: ok ? "" : remedy };
}

/** What makes again whatever is recorded. `repair` mends what ocinet itself attached. */
export function mend({ described: { id, created } }: Side): string {
  return created === "" ? "have its CNI runtime delete it and add it again" : `ocinet repair ${id}`;
}

/** A command as it is run in the container's network. */
export function within({ described: { netns } }: Side, command: string): string {
  return `nsenter --net=${netns} ${command}`;
}

/** Whether it is known of a link of the container's that it is there and up. */
export function isUp({ inside }: Side, ifname: string): boolean {
  return inside?.links.get(ifname)?.up === true;
}

/** The container's interfaces and their addresses. */
export function insideHops(side: Side): readonly Hop[] {
  const { described: { id, networks, state, reason = "" }, closed, inside } = side;
  if (state === "dead") {
    return [
      hop("container", id, { found: reason, expected: "it runs", ok: false, remedy: `ocinet down ${id}` }),
    ];
  }
  if (closed !== undefined || inside === undefined) {
    const found = `not looked into: ${closed ?? "it has no namespace"}`;
    return [hop("container", id, { found, expected: "it runs", ok: true, remedy: "" })];
  }
  return networks.flatMap(({ ifname, ips }) => {
    const at = `${ifname} in ${id}`;
    const link = inside.links.get(ifname);
    const up = hop("interface", at, {
      found: link === undefined ? "not there" : link.up ? "up" : "down",
      expected: "up",
      ok: link?.up === true,
      // What the kernel forgot when the link went down, repair adds again.
      remedy: link === undefined
        ? mend(side)
        : `${within(side, `ip link set dev ${ifname} up`)}; then ${mend(side)}`,
    });
    if (link === undefined) return [up];
    const there = link.addresses ?? [];
    const missing = ips.filter((ip) => !there.includes(ip));
    const address = hop("address", at, {
      found: there.filter((ip) => !ip.startsWith("fe80:")).join(", ") || "none",
      expected: ips.join(", ") || "none",
      ok: missing.length === 0,
      remedy: mend(side),
    });
    return [up, address];
  });
}

/** The host's end: links, the bridges that these are ports of, the programs, the routes to the addresses. */
export function hostHops(side: Side): readonly Hop[] {
  const ends = hostEnds(side);
  const masters = [...new Set(ends.flatMap(({ master }) => master ?? []))];
  const gateways = [...ends.filter(({ master }) => master === undefined).map(({ link }) => link), ...masters]
    .flatMap((name) => gatewayHops(side, name));
  // With a gateway's address goes the route to its subnet.
  const lost = gateways.filter(({ ok }) => !ok).map(({ at }) => at);
  return [
    ...programHops(side),
    ...ends.map(({ link, master }) => endHop(side, link, master)),
    ...masters.map((name) => bridgeHop(side, name)),
    ...gateways,
    ...routeHops(side).filter(({ expected }) => !lost.some((name) => expected === `by ${name}`)),
  ];
}

/** The host's links of the container, with the bridges that they are to be ports of. */
export function hostEnds({ steps }: Pick<Side, "steps">): readonly { link: string; master?: string }[] {
  return steps.flatMap(({ on, id, tool }) =>
    on === "host" && id.kind === "link" && tool === "ip" && id.type === "veth"
      ? [{ link: id.link, ...(id.master === undefined ? {} : { master: id.master }) }]
      : []
  );
}

function programHops(side: Side): readonly Hop[] {
  return side.steps.filter((step) => step.tool === "spawn").map((step) => {
    const ok = !side.missing.includes(step);
    return hop("program", step.name, {
      ...{ found: ok ? "runs" : "has ended", expected: "runs", ok, remedy: mend(side) },
    });
  });
}

function endHop(side: Side, name: string, master: string | undefined): Hop {
  const link = side.links.get(name);
  const isPort = master === undefined || link?.master === master;
  const of = (port: string | undefined) => port === undefined ? "" : `, port of ${port}`;
  return hop("host link", name, {
    found: link === undefined ? "not there" : `${upOf(link)}${of(link.master)}`,
    expected: `up${of(master)}`,
    ok: link?.up === true && isPort,
    remedy: link === undefined || !isPort ? mend(side) : `ip link set dev ${name} up`,
  });
}

function bridgeHop(side: Side, name: string): Hop {
  const link = side.links.get(name);
  return hop("bridge", name, {
    found: link === undefined ? "not there" : upOf(link),
    expected: "up",
    ok: link?.up === true,
    remedy: link === undefined ? mend(side) : `ip link set dev ${name} up`,
  });
}

function upOf({ up }: Link): string {
  return up ? "up" : "down";
}

/** The gateways that containers have on the host: each has to be on its link. */
function gatewayHops(side: Side, name: string): readonly Hop[] {
  const link = side.links.get(name);
  const wanted = side.steps.filter(({ on, id }) =>
    on === "host" && id.kind === "address" && id.link === name
  );
  if (link === undefined || wanted.length === 0) return [];
  const there = link.addresses ?? [];
  return wanted.map((step) => {
    const address = step.id.kind === "address" ? step.id.address : "";
    return hop("gateway", name, {
      found: there.join(", ") || "no address",
      expected: address,
      ok: there.includes(address),
      remedy: tellStep(step),
    });
  });
}

/** A step of `ip`'s as a command. */
function tellStep(step: Step): string {
  return step.tool === "ip" ? `ip ${step.run.replace(/^(route|address) add /, "$1 replace ")}` : "";
}

/** By which link the host reaches each address, as our rules have it. */
function routeHops(side: Side): readonly Hop[] {
  return routedAddresses(side.steps).filter(({ link }) => side.links.get(link)?.up).map(
    ({ link, address }) => {
      const now = side.reached.get(address);
      const step = side.steps.find(({ on, id }) =>
        on === "host" && id.kind === "route" && addressOf(id.dst) === address
      );
      const remedy = step ? tellStep(step) : `ip route get ${address} shows who leads it elsewhere`;
      const found = now === undefined ? "no route" : `by ${now}`;
      return hop("host route", `to ${address}`, { found, expected: `by ${link}`, ok: now === link, remedy });
    },
  );
}

/** The addresses that the host routes, with the links by which it reaches them. */
export function routedAddresses(steps: readonly Step[]): readonly { link: string; address: string }[] {
  const keys = elementsIn(steps).filter(({ set }) =>
    /^inet ocinet (masquerade|contained|passed)[46]$/.test(set)
  )
    .map(({ key }) => key);
  return [...new Set(keys)].flatMap((key) => {
    const [, link, address] = /^"([^"]+)" \. (\S+)$/.exec(key) ?? [];
    return link === undefined || address === undefined ? [] : [{ link, address }];
  });
}

const ports = /^inet ocinet ((when)?(host)?ports|ranges)[46]$/;

/** Whether an element leads a published port. */
export function isOfPort(set: string): boolean {
  return ports.test(set);
}

/** Recorded settings, but those of forwarding, and the elements in our table, but those of ports. */
export function kernelHops(side: Side): readonly Hop[] {
  return [...settingHops(side), ...ruleHops(side)];
}

function settingHops(side: Side): readonly Hop[] {
  const { described: { id }, steps, missing, links } = side;
  const all = steps.flatMap((step) => step.tool === "sysctl" && !isSwitch(step.key) ? [step] : []);
  // With a link go its settings: another hop tells of that.
  const wrong = all.filter((step) => {
    const link = linkOf(step.id);
    const isGone = step.on === "host" && link !== undefined && link !== "all" && !links.has(link);
    return missing.includes(step) && !isGone;
  });
  if (all.length === 0) return [];
  const show = ({ key, value }: { key: string; value: string }) => `${key.replaceAll("/", ".")}=${value}`;
  return [hop("settings", id, {
    found: wrong.length === 0 ? "as recorded" : `not ${wrong.map(show).join(", ")}`,
    expected: `${all.length} as recorded`,
    ok: wrong.length === 0,
    remedy: `${mend(side)}; look for who sets it in /etc/sysctl.d`,
  })];
}

/** Whether a sysctl is one of those that turn on forwarding. */
function isSwitch(key: string): boolean {
  return /\/(ip_forward|forwarding)$/.test(key);
}

/** Not one of a port, nor a guard that would be made with forwarding, were it turned on now. */
function isOwn({ set }: { readonly set: string }): boolean {
  return !isOfPort(set) && !/ unforwarded[46]$/.test(set);
}

function ruleHops(side: Side): readonly Hop[] {
  const elements = elementsIn(side.steps).filter(isOwn);
  if (elements.length === 0) return [];
  const missing = elementsIn(side.missing).filter(isOwn);
  const names = [...new Set(missing.map(({ set }) => set.split(" ").at(-1)!))];
  return [hop("rules", `${side.described.id} in table inet ocinet`, {
    found: names.length === 0 ? "all there" : `missing from ${names.join(", ")}`,
    expected: `${elements.length} elements`,
    ok: names.length === 0,
    remedy: mend(side),
  })];
}
