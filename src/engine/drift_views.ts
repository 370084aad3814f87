/** How either side is seen: what the steps of a record can be held against. */
import { addressOf, hostLength, lastOf, lengthOf, networkOf, plus } from "../net/address.ts";
import type { Prefixes } from "../plan/batch.ts";
import { type Inside, ipv6Switch, isNamed, lookInside, parseInside } from "../plan/inside.ts";
import {
  type AddressResource,
  type ElementResource,
  linkOf,
  type Resource,
  type RouteResource,
} from "../plan/resource.ts";
import type { PortFlags } from "../plan/host_state.ts";
import type { Place, Step } from "../plan/step.ts";
import { whyFailed, type World } from "../plan/world.ts";
import { type Answers, askLinks, linkExists, matching } from "./links.ts";
import { ownerIsAlive, readPids } from "./process.ts";

/** Either side, as far as it is seen. */
export type Views = { readonly [Side in Place]?: View };

/** How a namespace is seen: what the steps of a record can be held against. */
export interface View {
  /** Undefined for what cannot be told. */
  isThere(step: Step): boolean | undefined;
  hasLink(link: string): boolean;
  /** Whether there is a route to an address's subnet by its link. */
  hasSubnet(id: AddressResource): boolean;
}

/** Whether a step sets a link up. */
export function isUp(id: Resource): boolean {
  return id.kind === "link-setting" && id.name?.split(" ").includes("up") === true;
}

/** What a port of a bridge loses when it leaves the bridge: with it `isolated` a network's isolation. */
const portFlags = { hairpin: "on", isolated: "on", learning: "off" } as const;

/** The flags of a port that a step sets to what they are not by themselves. */
export function portFlagsOf(id: Resource): readonly (keyof typeof portFlags)[] {
  const words = id.kind === "link-setting" ? id.name?.split(" ") ?? [] : [];
  if (words[1] !== "bridge_slave") return [];
  const flags = Object.keys(portFlags) as (keyof typeof portFlags)[];
  return flags.filter((flag) => words.includes(flag) && words[words.indexOf(flag) + 1] === portFlags[flag]);
}

/** Whether a port's flags are as a step has set them; undefined for what is no port, or sets none. */
function hasPortFlags(id: Resource, port: PortFlags | undefined): boolean | undefined {
  const flags = portFlagsOf(id);
  if (port === undefined || flags.length === 0) return undefined;
  return flags.every((flag) => port[flag] === undefined || port[flag] === (portFlags[flag] === "on"));
}

/** An address near the end of a subnet, where few have one. */
function farAddress(address: string): string {
  const [last, two] = [lastOf(address), lengthOf(address) >= hostLength(addressOf(address)) - 1];
  return two ? last : plus(last, -1n);
}

/** Asks `ip` of the links on the host that steps are about, their masters, and the way to single addresses, all at once. */
export async function askHost(world: World, steps: readonly Step[]): Promise<Answers> {
  const own = steps.filter(({ on, removes }) => on === "host" && !removes);
  const links = own.flatMap(({ id }) =>
    id.kind === "address" || isUp(id) || portFlagsOf(id).length > 0
      ? [linkOf(id)!]
      : id.kind === "link"
      ? id.master ?? []
      : []
  );
  const reached = own.flatMap(({ id }) =>
    isToOne(id)
      ? [addressOf(id.dst)]
      : id.kind === "address" && id.routed
      ? [matching + farAddress(id.address)]
      : []
  );
  const there = [...new Set(links)].filter((link) => linkExists(world, link));
  return await askLinks(world, { links: there, reached: [...new Set(reached)], macs: [] });
}

/** Whether it is a route of the main table to a single address. */
function isToOne(id: Resource): id is RouteResource {
  return id.kind === "route" && id.table === undefined && lengthOf(id.dst) === hostLength(addressOf(id.dst));
}

/** The host, by what `askHost` was told. @param gone elements of nft that are missing */
export function viewHost(world: World, { links, reached }: Answers, gone: ReadonlySet<Resource>): View {
  return {
    hasLink: (link) => linkExists(world, link),
    hasSubnet: ({ address, link }) =>
      reached.get(matching + farAddress(address)) === `${networkOf(address)} ${link}`,
    isThere: (step) => {
      const { id } = step;
      switch (id.kind) {
        case "link":
          return linkExists(world, id.link);
        case "link-setting":
          return isUp(id) ? links.get(id.link)?.up : hasPortFlags(id, links.get(id.link)?.port);
        case "address":
          return links.get(id.link)?.addresses?.includes(id.address) === true;
        case "route":
          return isToOne(id) ? reached.get(addressOf(id.dst)) === id.dev : undefined;
        case "element":
          return !gone.has(id);
        case "sysctl":
          return step.tool === "sysctl" ? isSet(world, id.key, step.value) : undefined;
        case "process":
          return step.tool === "spawn"
            ? readPids(world, step.pidFile).some((pid) => ownerIsAlive(world, pid, step.cmdlineMarker))
            : undefined;
        default:
          return undefined;
      }
    },
  };
}

/** The kernel may lack a setting, as it does all of IPv6's where that is off. */
function isSet(world: World, key: string, value: string): boolean {
  const now = world.read(`/proc/sys/${key}`);
  return now === undefined || plain(now) === plain(value);
}

/** The kernel has its own blanks between several values of one. */
function plain(value: string): string {
  return value.trim().split(/\s+/).join(" ");
}

/** The elements that are not in our tables, or lead elsewhere. In one look where all are there. */
export async function missingElements(
  world: World,
  elements: readonly ElementResource[],
): Promise<readonly ElementResource[]> {
  if (elements.length === 0) return [];
  // A map's element is looked up by its key alone.
  const stdin = elements.map(({ set, key }) => `get element ${set} { ${key} }\n`).join("");
  const output = await world.run(["nft", "-f", "-"], { stdin, looks: true });
  if (output.code === 0) {
    const shown = output.stdout.replace(/ comment "[^"]*"/g, "");
    return elements.filter(({ key, value }) => value !== undefined && !shown.includes(`${key} : ${value}`));
  }
  // An nft that was killed, or could not begin, has told nothing.
  if (!output.stderr.includes("No such file")) {
    throw new Error(`Cannot look at rules by nft: ${whyFailed(output)}`);
  }
  if (elements.length === 1) return elements;
  const half = Math.ceil(elements.length / 2);
  const [first, second] = [elements.slice(0, half), elements.slice(half)];
  return [...await missingElements(world, first), ...await missingElements(world, second)];
}

/** The container, if it can be entered. */
export async function viewContainer(
  world: World,
  { container }: Partial<Prefixes>,
  steps: readonly Step[],
): Promise<View | undefined> {
  const own = steps.filter(({ on }) => on === "container");
  if (container === undefined || own.length === 0) return undefined;
  const keys = [ipv6Switch, ...own.flatMap(({ id }) => id.kind === "sysctl" ? [id.key] : [])];
  const argv = [...container, "sh", "-c", lookInside, "sh", ...keys];
  const { code, stdout } = await world.run(argv, { looks: true });
  if (code !== 0) return undefined;
  const inside = parseInside(stdout, keys);
  const isOff = inside.sysctls?.get(ipv6Switch) === "1";
  return {
    // IPv6 that was switched off in the container stays off.
    isThere: (step) => isOff && isOfIpv6(step.id) ? undefined : isInside(inside, step),
    hasLink: (link) =>
      inside.links.has(link) || [...inside.links.keys()].some((one) => isNamed(inside, one, link)),
    hasSubnet: (id) =>
      isOff && isOfIpv6(id) ||
      inside.routes.some(({ dst, dev }) => dst === networkOf(id.address) && dev === id.link),
  };
}

function isOfIpv6(id: Resource): boolean {
  const text = { address: "address", route: "dst", sysctl: "key" }[id.kind as string];
  return text !== undefined && /:|ipv6/.test(String(id[text as keyof Resource]));
}

function isInside(inside: Inside, step: Step): boolean | undefined {
  const { id } = step;
  switch (id.kind) {
    case "link":
      return inside.links.has(id.link);
    case "link-setting":
      return isUp(id) ? inside.links.get(id.link)?.up : undefined;
    case "address":
      return inside.links.get(id.link)?.addresses?.includes(id.address) === true;
    case "route":
      return inside.routes.some(({ dst, dev, table }) =>
        dst === id.dst && dev === id.dev && table === id.table
      );
    case "rule":
      return inside.rules.some(({ from, table }) =>
        table === id.table && `${from}/`.startsWith(id.from.split("/")[0]!)
      );
    case "sysctl":
      return step.tool === "sysctl" && plain(inside.sysctls?.get(id.key) ?? step.value) === plain(step.value);
    default:
      return undefined;
  }
}
