/** Whether a published port leads to the container, and to a program that listens there. */
import { elementsIn } from "../../plan/nft/element.ts";
import { isOfHostPort } from "../../plan/nft/ports.ts";
import type { DescribedPort } from "../container/describe.ts";
import type { Listener } from "../container/ports.ts";
import { hop, isOfPort, mend } from "./judge_side.ts";
import type { Hop, PortSeen, Seen, Side } from "./seen.ts";

/** The hops of each mapping that publishes the port. */
export function portHops({ target, port: seen, from }: Seen): readonly Hop[] {
  if (target.kind !== "port" || seen === undefined) return [];
  const at = `:${target.port}/${target.protocol}`;
  const published = publishedPorts(from, target);
  if (published.length === 0) return [unpublished(from, at, seen)];
  return published.flatMap((port) => [
    ...ruleHops(from, port, seen),
    ...holderHops(from, port, seen),
    listenerHop(from, port, seen),
  ]);
}

/** The mappings that publish a port of the host's. */
export function publishedPorts(
  { described }: Side,
  { port, protocol }: { readonly port: number; readonly protocol: string },
): readonly DescribedPort[] {
  return described.ports.filter((one) => one.hostPort === port && one.protocol === protocol);
}

function unpublished({ described: { id } }: Side, at: string, { entries }: PortSeen): Hop {
  const [other] = entries;
  const owner = other && ` container "${other.owner?.split(" ")[0] ?? "?"}" has it`;
  const remedy = `ocinet port add ${id} ${at.slice(1).replace(/\/.*/, "")}:PORT publishes it`;
  return hop("port", at, {
    found: `not published;${owner ?? " no container has it in nft"}`,
    expected: `published by ${id}`,
    ok: false,
    remedy: other ? `publish another port of ${id}, or take this one from who has it` : remedy,
  });
}

function closed({ described: { id } }: Side, { mapping }: DescribedPort): Hop {
  return hop("port", mapping, {
    found: `closed; ${id} is on no network that publishes ports`,
    expected: "open",
    ok: false,
    remedy: `ocinet network connect NETWORK ${id}, with a network that is not internal`,
  });
}

/** What is recorded of a mapping in nft's maps, and what these have. */
function ruleHops(side: Side, port: DescribedPort, { entries }: PortSeen): readonly Hop[] {
  const isOf = ({ set, key }: { set: string; key: string }) =>
    isOfPort(set) && isOfHostPort(key, { protocol: port.protocol, port: port.hostPort });
  const wanted = elementsIn(side.steps).filter(isOf);
  if (port.driver === "none") return [closed(side, port)];
  if (wanted.length === 0) return [];
  const gone = elementsIn(side.missing).filter(isOf);
  const now = entries.map(({ value, owner }) => `${value ?? "a rule"}${owner ? ` (${owner})` : ""}`);
  const isTaken = gone.length > 0 && now.length > 0;
  return [hop("port", `${port.mapping} in table inet ocinet`, {
    found: gone.length === 0
      ? "leads there"
      : isTaken
      ? `leads to ${[...new Set(now)].join(", ")}`
      : "leads nowhere",
    expected: wanted.flatMap(({ value }) => value === undefined ? [] : `leads to ${value}`).join(", "),
    ok: gone.length === 0,
    remedy: mend(side),
  })];
}

/** A program of the host's that listens on a port that no process holds for the container gets what comes for it. */
function holderHops(side: Side, port: DescribedPort, { onHost }: PortSeen): readonly Hop[] {
  const isHeld = elementsIn(side.steps).some(({ set }) => /^inet ocinet held[46]$/.test(set));
  if (!port.driver.startsWith("nftables") || isHeld) return [];
  return [hop("host service", `${port.hostPort}/${port.protocol} on the host`, {
    found: onHost.length === 0 ? "no process listens" : `${onHost.join(", ")} listens`,
    expected: "no process listens",
    ok: onHost.length === 0,
    remedy: "end that program, or publish another port: it gets connections that are meant for the container",
  })];
}

function listenerHop(side: Side, port: DescribedPort, { inside }: PortSeen): Hop {
  const { containerPort, protocol } = port;
  const at = `${containerPort}/${protocol} in ${side.described.id}`;
  const expected = `a program on 0.0.0.0, on :: or on an address of ${side.described.id}`;
  if (inside === undefined) {
    return hop("listener", at, { found: "not looked at", expected, ok: true, remedy: "" });
  }
  const own = inside.filter(({ hostPort }) => hostPort === containerPort);
  const ok = own.some((listener) => isReached(side, listener));
  return hop("listener", at, {
    found: own.length > 0 ? own.map(tellListener).join(", ") : noListener(inside),
    expected,
    ok,
    remedy: own.length > 0
      ? `have the program listen on 0.0.0.0 or :: instead of ${own.map(tellListener).join(", ")}`
      : `start the program that is to listen on ${containerPort}/${protocol}, or publish the port that it listens on`,
  });
}

function isReached({ described: { networks } }: Side, { hostIp }: Listener): boolean {
  const own = networks.flatMap(({ ips }) => ips.map((ip) => ip.split("/")[0]));
  return hostIp === undefined || own.includes(hostIp);
}

function tellListener({ hostIp, family, hostPort }: Listener): string {
  const anywhere = family === 4 ? "0.0.0.0" : "[::]";
  return `${hostIp?.includes(":") ? `[${hostIp}]` : hostIp ?? anywhere}:${hostPort}`;
}

function noListener(inside: readonly Listener[]): string {
  const others = [...new Set(inside.map(({ hostPort }) => hostPort))].toSorted((a, b) => a - b).slice(0, 10);
  return others.length === 0
    ? "no process listens"
    : `no process listens; on other ports: ${others.join(", ")}`;
}
