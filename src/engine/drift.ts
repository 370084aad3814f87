/**
 * What of a record is no longer as it was made. It is the one idea of "as it should be": CHECK, `ls`, `repair`, `doctor`
 * and the helper ask the same question, and `repair` does what is missing again.
 */
import { addressOf, family, lengthOf, networkOf } from "../net/address.ts";
import type { Prefixes } from "../plan/batch.ts";
import { elementsIn } from "../plan/nft/element.ts";
import { setLink } from "../plan/ip.ts";
import { type AddressResource, linkOf, type LinkResource, type Resource } from "../plan/resource.ts";
import { line, type Place, setSysctl, type Step, stepKey, words } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { type Answers, linkExists } from "./links.ts";
import {
  askHost,
  isUp,
  missingElements,
  portFlagsOf,
  viewContainer,
  viewHost,
  type Views,
} from "./drift_views.ts";

/** What of a record is missing, and what has to be done for that. */
export interface Drift {
  /** The steps to do again, in their order. */
  readonly again: readonly Step[];
  /** The first that a person is told of; undefined where nothing is missing. */
  readonly first?: Problem;
}

/** A thing in a word or two, and what is wrong with it. */
export interface Problem {
  readonly thing: string;
  readonly is: "gone" | "down" | "changed";
}

/**
 * Finds the steps whose things are missing, and those that have to be done again with them: what is set on a link that is
 * gone.
 * @param prefixes without a `container` its side is not looked at
 */
export async function findDrift(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
): Promise<Drift> {
  const [answers, elements, container] = await Promise.all([
    askHost(world, steps),
    missingElements(world, elementsIn(steps.filter(({ on }) => on === "host"))),
    viewContainer(world, prefixes, steps),
  ]);
  const host = viewHost(world, answers, new Set(elements));
  const moved = movedIn(steps);
  const see = (step: Step) => {
    const arrived = step.id.kind === "link" ? moved.get(step.id.link) : undefined;
    if (arrived === undefined) return (step.on === "host" ? host : container)?.isThere(step);
    // By its first name a link is known that was renamed inside: a second one beside it would not be its.
    return step.on === "host"
      ? container?.hasLink(arrived) || container?.hasLink(linkOf(step.id)!)
      : undefined;
  };
  const missing = lasting(steps).filter((step) => see(step) === false);
  const strays = steps.flatMap(({ on, id }) =>
    on === "host" && id.kind === "link" ? backToMaster(world, id) : []
  );
  const views = { host, ...(container ? { container } : {}) };
  const routes = lostSubnets(steps, missing, views);
  const first = firstOf([
    ...missing.filter(({ id }) => id.kind === "link"),
    ...strays,
    // Where forwarding is off, rules are planned as well that were not needed before.
    ...missing.filter(({ id }) => id.kind === "sysctl" && /forward/.test(id.key)),
    ...missing,
    ...routes,
  ]);
  return {
    again: first ? inOrder(withSettings(steps, new Set(missing), { strays, moved, views }), routes) : [],
    ...(first ? { first } : {}),
  };
}

/** The steps whose things are to stay: sbr takes away what the plugin before it has made. */
function lasting(steps: readonly Step[]): readonly Step[] {
  const taken = new Map(
    steps.map((step, i) => step.removes ? [stepKey(step), i] as const : ["", -1] as const),
  );
  return steps.filter((step, i) => !step.removes && (taken.get(stepKey(step)) ?? -1) < i);
}

/** Adds to what is missing what is set on it, and each link's settings. */
function withSettings(
  steps: readonly Step[],
  missing: ReadonlySet<Step>,
  { strays, moved, views }: {
    readonly strays: readonly Step[];
    readonly moved: ReadonlyMap<string, string>;
    readonly views: Views;
  },
): readonly Step[] {
  // A veth is one step, so that the container's end is known by its address alone.
  const isGone = ({ on, id }: Step) =>
    id.kind === "link" ||
    id.kind === "address" && on === "container" && views.container?.hasLink(id.link) === false;
  const gone = new Set([...missing].filter(isGone).map(({ on, id }) => `${on} ${linkOf(id)}`));
  for (const link of moved.keys()) if (gone.has(`host ${link}`)) gone.add(`container ${link}`);
  // The ends of a veth go together, and with a link what is set on it.
  const went = ({ on, id }: Step) => gone.has(`${on} ${linkOf(id) ?? ""}`);
  // One that has moved into the container has no settings any more under the name that it had before.
  // What is in the kernel's own tables goes with the link being up, too.
  const isSetting = ({ on, id }: Step) =>
    (id.kind === "link-setting" || on === "host" && id.kind === "route" && id.table !== undefined) &&
    views[on]?.hasLink(linkOf(id)!) === true;
  const again = steps.filter((step) => missing.has(step) || went(step) || isSetting(step));
  const isFirst = ({ on, id }: Step) => on === "host" && id.kind === "link" && !moved.has(id.link);
  // A port's settings can be set only once it is one.
  return [...again.filter(isFirst), ...strays, ...again.filter((step) => !isFirst(step))];
}

/** Other routes need those to the subnets. */
function inOrder(steps: readonly Step[], subnets: readonly Step[]): readonly Step[] {
  const isRoute = ({ id }: Step) => id.kind === "route";
  return [...steps.filter((step) => !isRoute(step)), ...subnets, ...steps.filter(isRoute)];
}

/** The kernel's routes to the subnets of addresses that are there: an address is not given again for them. */
function lostSubnets(steps: readonly Step[], missing: readonly Step[], views: Views): readonly Step[] {
  const taken = new Set(steps.filter(({ removes }) => removes).map(stepKey));
  // A VRF has them in a table of its own.
  if (steps.some(({ id }) => id.kind === "link" && id.table !== undefined)) return [];
  return lasting(steps).filter((step) => !missing.includes(step)).flatMap(({ on, id }) => {
    if (id.kind !== "address" || !id.routed || views[on]?.hasSubnet(id) !== false) return [];
    const route = subnetRoute(on, id);
    return taken.has(stepKey(route)) ? [] : [route];
  });
}

function subnetRoute(on: Place, { address, link }: AddressResource): Step {
  const dst = networkOf(address);
  const more = family(address) === 4 ? words` scope link src ${addressOf(address)}` : " metric 256";
  const id = { kind: "route", dst, dev: link, attributes: [] } as const;
  return line("ip", on, id, words`route replace ${dst} dev ${link} proto kernel` + more);
}

/** Links that are made on the host to be moved into the container: their names there, by those that they have before. */
function movedIn(steps: readonly Step[]): ReadonlyMap<string, string> {
  const inside = steps.flatMap(({ on, id }) => on === "container" && id.kind === "link" ? [id.link] : []);
  const made = steps.flatMap(({ on, id }) => on === "host" && id.kind === "link" ? [id.link] : []);
  return new Map(made.flatMap((link) => {
    const i = inside.indexOf(link);
    return i < 0 || inside[i + 1] === undefined ? [] : [[link, inside[i + 1]!] as const];
  }));
}

/**
 * The first thing on the host that is gone or down. Of settings, forwarding is looked at.
 * @param answers of `askHost` for these steps, and maybe for more
 */
export function lostOnHost(world: World, answers: Answers, steps: readonly Step[]): Problem | undefined {
  const host = viewHost(world, answers, new Set());
  const moved = movedIn(steps);
  const isSeen = ({ on, id }: Step) =>
    on === "host" && (seenByIp.includes(id.kind) || id.kind === "sysctl" && /forward/.test(id.key)) &&
    !moved.has(linkOf(id) ?? "");
  const own = lasting(steps).filter(isSeen);
  const missing = own.filter((step) => host.isThere(step) === false);
  const masters = own.flatMap(({ id }) => id.kind === "link" ? id.master ?? [] : []);
  const down = masters.find((master) => answers.links.get(master)?.up === false);
  return firstOf([
    ...missing.filter(({ id }) => id.kind === "link"),
    ...own.flatMap(({ id }) => id.kind === "link" ? backToMaster(world, id) : []),
    ...missing,
    ...lostSubnets(own, missing, { host }),
    ...lostForwarding(world, own),
  ]) ?? (down === undefined ? undefined : { thing: `link ${down}`, is: "down" });
}

/** IPv6 is forwarded by all links or none, so a container that found it on has no step for it. */
function lostForwarding(world: World, own: readonly Step[]): readonly Step[] {
  const key = "net/ipv6/conf/all/forwarding";
  const isGateway = own.some(({ id }) => id.kind === "address" && family(id.address) === 6);
  return isGateway && world.read(`/proc/sys/${key}`)?.trim() === "0" ? [setSysctl("host", key, "1")] : [];
}

const seenByIp: readonly string[] = ["link", "link-setting", "address", "route"];

/** Puts a port that is there back on the link that it was a port of: with that, it had become none. */
function backToMaster(world: World, { link, master }: LinkResource): readonly Step[] {
  if (master === undefined || !linkExists(world, link)) return [];
  // /sys may show another network namespace; then nothing can be told without a process.
  if (world.stat(`/sys/class/net/${link}`) === undefined) return [];
  const now = world.readLink(`/sys/class/net/${link}/master`)?.split("/").at(-1);
  return now === master ? [] : [setLink("host", link, "master", master)];
}

function firstOf(steps: readonly Step[]): Problem | undefined {
  const first = steps.find(({ id }) =>
    id.kind !== "link-setting" || id.master !== undefined || isUp(id) || portFlagsOf(id).length > 0
  );
  if (!first) return undefined;
  return isUp(first.id)
    ? { thing: `link ${linkOf(first.id)}`, is: "down" }
    : { thing: describeResource(first.id), is: first.id.kind === "sysctl" ? "changed" : "gone" };
}

function describeResource(id: Resource): string {
  switch (id.kind) {
    case "link":
      return `link ${id.link}`;
    case "link-setting":
      return id.master === undefined
        ? `setting "${portFlagsOf(id).join(", ")}" of port ${id.link}`
        : `port ${id.link} of ${id.master}`;
    case "address":
      return `address ${id.address}`;
    case "route":
      return `route to ${lengthOf(id.dst) === 0 ? "the world" : id.dst}`;
    case "rule":
      return `rule for ${id.from}`;
    case "element":
    case "chain":
    case "table":
      return "nft rule";
    case "sysctl":
      return `setting ${id.key}`;
    case "process":
      return "program";
    default:
      return id.kind;
  }
}
