/**
 * What of a record is no longer as it was made. It is the one idea of "as it should be": CHECK, `ls`, `repair`, `doctor`
 * and the helper ask the same question, and `repair` does what is missing again.
 */
import { lengthOf } from "../net/address.ts";
import type { Prefixes } from "../plan/batch.ts";
import { type Inside, lookInside, parseInside } from "../plan/inside.ts";
import { elementsIn } from "../plan/nft.ts";
import { setLink } from "../plan/ip.ts";
import { type ElementResource, linkOf, type LinkResource, type Resource } from "../plan/resource.ts";
import type { Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { linkExists } from "./links.ts";
import { ownerIsAlive, readPids } from "./process.ts";

/** How a namespace is seen: what the steps of a record can be held against. */
interface View {
  /** Undefined for what cannot be told. */
  isThere(step: Step): boolean | undefined;
  hasLink(link: string): boolean;
}

/**
 * The steps whose things are missing, and those that have to be done again with them: what is set on a link that is gone.
 * @param prefixes without a `container` its side is not looked at
 */
export async function missingSteps(
  world: World,
  prefixes: Pick<Prefixes, "host"> & Partial<Prefixes>,
  steps: readonly Step[],
): Promise<readonly Step[]> {
  const [host, container] = await Promise.all([
    viewHost(world, steps),
    viewContainer(world, prefixes, steps),
  ]);
  const see = (step: Step) => (step.on === "host" ? host : container)?.isThere(step);
  const missing = new Set(steps.filter((step) => !step.removes && see(step) === false));
  // A veth is one step, so that the container's end is known by its address alone.
  const isGone = ({ on, id }: Step) =>
    id.kind === "link" ||
    id.kind === "address" && on === "container" && container?.hasLink(id.link) === false;
  const gone = new Set([...missing].filter(isGone).map(({ on, id }) => `${on} ${linkOf(id)}`));
  // The ends of a veth go together, and with a link what is set on it.
  const went = ({ on, id }: Step) => gone.has(`${on} ${linkOf(id) ?? ""}`);
  const strays = steps.flatMap(({ on, id }) =>
    on === "host" && id.kind === "link" ? backToMaster(world, id) : []
  );
  const isSetting = ({ id }: Step) => id.kind === "link-setting";
  const any = missing.size + strays.length > 0;
  const again = steps.filter((step) => missing.has(step) || went(step) || any && isSetting(step));
  // A port's settings can be set only once it is one.
  return [
    ...again.filter(({ id }) => id.kind === "link"),
    ...strays,
    ...again.filter(({ id }) => id.kind !== "link"),
  ];
}

/** The first of the host's links that is gone, or no port of its bridge any more; found without starting a program. */
export function lostLink(world: World, steps: readonly Step[]): string | undefined {
  const links = steps.flatMap(({ on, id }) => on === "host" && id.kind === "link" ? [id] : []);
  const gone = links.find(({ link }) => !linkExists(world, link));
  if (gone) return describeResource(gone);
  return tellMissing(links.flatMap((link) => backToMaster(world, link)));
}

/** Puts a port that is there back on the link that it was a port of: with that, it had become none. */
function backToMaster(world: World, { link, master }: LinkResource): readonly Step[] {
  if (master === undefined || !linkExists(world, link)) return [];
  // /sys may show another network namespace; then nothing can be told without a process.
  if (world.stat(`/sys/class/net/${link}`) === undefined) return [];
  const now = world.readLink(`/sys/class/net/${link}/master`)?.split("/").at(-1);
  return now === master ? [] : [setLink("host", link, "master", master)];
}

/** What a person is told of the first of these, in a word or two; undefined where nothing is missing. */
export function tellMissing(steps: readonly Step[]): string | undefined {
  const first = steps.find(({ id }) => id.kind !== "link-setting") ??
    steps.find(({ id }) => id.kind === "link-setting" && id.master !== undefined);
  return first && describeResource(first.id);
}

function describeResource(id: Resource): string {
  switch (id.kind) {
    case "link":
      return `link ${id.link}`;
    case "link-setting":
      return `port ${id.link} of ${id.master}`;
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

async function viewHost(world: World, steps: readonly Step[]): Promise<View> {
  const elements = elementsIn(steps.filter(({ on }) => on === "host"));
  const gone = new Set(await missingElements(world, elements));
  return {
    hasLink: (link) => linkExists(world, link),
    isThere: (step) => {
      const { id } = step;
      switch (id.kind) {
        case "link":
          return linkExists(world, id.link);
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
  const { code, stdout } = await world.run(["nft", "-f", "-"], { stdin, looks: true });
  if (code === 0) {
    const shown = stdout.replace(/ comment "[^"]*"/g, "");
    return elements.filter(({ key, value }) => value !== undefined && !shown.includes(`${key} : ${value}`));
  }
  if (elements.length === 1) return elements;
  const half = Math.ceil(elements.length / 2);
  const [first, second] = [elements.slice(0, half), elements.slice(half)];
  return [...await missingElements(world, first), ...await missingElements(world, second)];
}

async function viewContainer(
  world: World,
  { container }: Partial<Prefixes>,
  steps: readonly Step[],
): Promise<View | undefined> {
  const own = steps.filter(({ on }) => on === "container");
  if (container === undefined || own.length === 0) return undefined;
  const keys = own.flatMap(({ id }) => id.kind === "sysctl" ? [id.key] : []);
  const argv = [...container, "sh", "-c", lookInside, "sh", ...keys];
  const { code, stdout } = await world.run(argv, { looks: true });
  if (code !== 0) return undefined;
  const inside = parseInside(stdout, keys);
  return { isThere: (step) => isInside(inside, step), hasLink: (link) => inside.links.has(link) };
}

function isInside(inside: Inside, step: Step): boolean | undefined {
  const { id } = step;
  switch (id.kind) {
    case "link":
      return inside.links.has(id.link);
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
