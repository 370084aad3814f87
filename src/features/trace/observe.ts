/** Looks at all that a way goes by, changing nothing. */
import { addressOf, family } from "../../net/address.ts";
import { readRows } from "../../plan/ip_json.ts";
import type { Link } from "../../plan/host_state.ts";
import type { Step } from "../../plan/step.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { findDrift } from "../../engine/drift.ts";
import { askLinks } from "../../engine/links.ts";
import { livePrefixes } from "../../engine/namespace.ts";
import { type AllLookups, observe } from "../../engine/observe.ts";
import { ownNamespace } from "../../engine/process.ts";
import {
  type BaseRecord,
  type ContainerRecord,
  pluginKeys,
  readContainer,
  readPlugin,
} from "../../engine/record.ts";
import { anywhere6 } from "../../engine/routes.ts";
import { describeAll, type Description } from "../container/describe.ts";
import { wantedOf } from "../container/repair_links.ts";
import { forwardFindings } from "../doctor/forwarding.ts";
import { hostEnds, routedAddresses } from "./judge_side.ts";
import { readEmptyChains, readNameServers, readPort, readSwitches } from "./observe_host.ts";
import type { Seen, Side, Target, Way } from "./seen.ts";

/** Stands for the world: a root name server's. Only routes are asked for it; nothing is sent. */
const anywhere4 = "198.41.0.4";

/** The container that is looked at. */
interface Container {
  readonly described: Description;
  readonly record: BaseRecord;
  readonly steps: readonly Step[];
}

/** Looks at the way from a container to a target. @throws Error for a container that is not attached, or not from here */
export async function look(world: World, state: string, id: string, target: Target): Promise<Seen> {
  const own = await find(world, state, id);
  const other = target.kind === "container" ? await find(world, state, target.id) : undefined;
  const shared = other &&
    own.described.networks.find(({ name }) =>
      other.described.networks.some((network) => network.name === name)
    )?.name;
  const address = addressFor(own.described, target, other?.described, shared);
  const back = own.described.networks.flatMap(({ ips }) => ips.map(addressOf)).find((ip) =>
    address !== undefined && family(ip) === family(address)
  );
  const [from, to] = await Promise.all([
    lookAt(world, own, address),
    other ? lookAt(world, other, back) : undefined,
  ]);
  return {
    ...{ target, from, ...(address === undefined ? {} : { address }) },
    ...(to ? { to } : {}),
    ...(shared === undefined ? {} : { shared }),
    ...await lookAtHost(world, { own, target, address, other }),
    nameServers: readNameServers(world, state, own.described),
  };
}

async function find(world: World, state: string, id: string): Promise<Container> {
  const [described] = await describeAll(world, state, [id]);
  const record = readContainer(world, state, id);
  const plugins = pluginKeys(world, state, id).flatMap((key) => readPlugin(world, state, key) ?? []);
  const first = record ?? plugins[0];
  if (!described || !first) {
    throw new Error(`Cannot trace from or to container "${id}": it is not attached; see ocinet ls`);
  }
  if (first.host !== ownNamespace(world)) {
    throw new Error(
      `Cannot trace from or to container "${id}": it was attached from another network namespace; ` +
        "for one in a session: ocinet session exec ocinet trace …",
    );
  }
  const steps = record ? await recordedSteps(world, state, record) : plugins.flatMap((one) => one.steps);
  // Its files are found by our own id for it.
  return { described: { ...described, id }, record: first, steps };
}

async function recordedSteps(
  world: World,
  state: string,
  record: ContainerRecord,
): Promise<readonly Step[]> {
  const all = await wantedOf(world, state, record);
  return all.flatMap(({ wanted }) => wanted);
}

/** The address of the target that the container is to reach. */
function addressFor(
  { networks }: Description,
  target: Target,
  other: Description | undefined,
  shared: string | undefined,
): string | undefined {
  const own = networks.flatMap(({ ips }) => ips);
  const hasFour = own.length === 0 || own.some((ip) => family(addressOf(ip)) === 4);
  if (target.kind === "address") return target.address;
  if (target.kind !== "container") return hasFour ? anywhere4 : anywhere6;
  const theirs = other!.networks.filter(({ name }) => shared === undefined || name === shared)
    .flatMap(({ ips }) => ips.map(addressOf));
  return theirs.find((ip) => own.some((mine) => family(addressOf(mine)) === family(ip)));
}

const nothing: AllLookups = {
  ...{ links: [], names: [], ownBridges: [], sysctls: [], defaultMaster: false, advertised: false },
  ...{ devices: [], files: [], reached: [], inside: false, insideSysctls: [], answers: [], agent: [] },
};

async function lookAt(
  world: World,
  { described, record, steps }: Container,
  address: string | undefined,
): Promise<Side> {
  if (described.state === "dead") {
    return { described, steps: [], missing: [], links: new Map(), reached: new Map() };
  }
  const prefixes = livePrefixes(world, record.container);
  const ends = hostEnds({ steps });
  const lookups = {
    ...nothing,
    links: [...new Set(ends.flatMap(({ link, master }) => master === undefined ? [link] : [link, master]))],
    reached: [...new Set(routedAddresses(steps).map((one) => one.address))],
  };
  const isOpen = prefixes.container !== undefined;
  const [{ again: missing }, seen, way] = await Promise.all([
    findDrift(world, prefixes, steps),
    observe(world, { ...lookups, inside: isOpen }, prefixes.container),
    isOpen && address !== undefined ? askWay(world, prefixes.container, address) : undefined,
  ]);
  const neighbour = way && isOpen ? await askNeighbour(world, prefixes.container!, way, address!) : undefined;
  return {
    ...{ described, steps, missing, links: seen.links, reached: seen.reached ?? new Map() },
    ...(seen.inside ? { inside: seen.inside } : {}),
    ...(isOpen ? {} : { closed: whyClosed(record) }),
    ...(way ? { way } : {}),
    ...(neighbour === undefined ? {} : { neighbour }),
  };
}

function whyClosed({ container: { owner } }: BaseRecord): string {
  return owner === undefined
    ? "its namespace cannot be entered from here"
    : `it is user ${owner}'s, who may trace it`;
}

/** The kernel's route to an address, in the namespace that the words enter. */
async function askWay(world: World, enter: readonly string[] = [], address: string): Promise<Way> {
  const output = await world.run([...enter, "ip", "-json", "route", "get", address], { looks: true });
  const [row] = output.code === 0 ? readRows(output.stdout) : [];
  if (!row || row["dev"] === undefined) return { problem: output.code === 0 ? "no route" : whyNot(output) };
  const text = (key: string) => row[key] === undefined ? undefined : String(row[key]);
  const [via, type] = [text("gateway"), text("type")];
  return {
    dev: text("dev")!,
    ...(via === undefined ? {} : { via }),
    ...(type === undefined ? {} : { type }),
  };
}

function whyNot(output: Parameters<typeof whyFailed>[0]): string {
  return /unreachable|No route/.test(output.stderr) ? "no route" : `no route: ${whyFailed(output)}`;
}

async function askNeighbour(
  world: World,
  enter: readonly string[],
  { dev, via }: Way,
  address: string,
): Promise<string | undefined> {
  if (dev === undefined) return undefined;
  const argv = [...enter, "ip", "-json", "neighbour", "show", "to", via ?? address, "dev", dev];
  const { code, stdout } = await world.run(argv, { looks: true });
  const [row] = code === 0 ? readRows(stdout) : [];
  return (row?.["state"] as readonly string[] | undefined)?.[0];
}

type HostSeen = Pick<
  Seen,
  "forwarded" | "switches" | "emptyChains" | "forward" | "hostWay" | "hostLink" | "port"
>;

async function lookAtHost(
  world: World,
  { own, target, address, other }: {
    readonly own: Container;
    readonly target: Target;
    readonly address: string | undefined;
    readonly other: Container | undefined;
  },
): Promise<HostSeen> {
  const routed = routedAddresses(own.steps);
  const masters = ({ steps }: Container) => hostEnds({ steps }).flatMap(({ master }) => master ?? []);
  const isBridged = other !== undefined && masters(other).some((master) => masters(own).includes(master));
  const isShown = world.read("/proc/sys/net/bridge/bridge-nf-call-iptables")?.trim() === "1";
  const forwarded = routed.length > 0 && own.described.state !== "dead" && (!isBridged || isShown);
  const isOut = routed.length > 0 && target.kind !== "port" && other === undefined && address !== undefined;
  const [emptyChains, forward, hostWay, port] = await Promise.all([
    forwarded ? readEmptyChains(world, target) : [],
    forwarded ? forwardFindings(world) : [],
    isOut ? askWay(world, [], address) : undefined,
    target.kind === "port" ? readPort(world, own, target) : undefined,
  ]);
  const hostLink = await linkOfWay(world, hostWay);
  return {
    ...{ forwarded, emptyChains, forward },
    switches: forwarded && !isBridged ? readSwitches(world, routed) : new Map(),
    ...(hostWay ? { hostWay } : {}),
    ...(hostLink ? { hostLink } : {}),
    ...(port ? { port } : {}),
  };
}

async function linkOfWay(world: World, way: Way | undefined): Promise<Link | undefined> {
  if (way?.dev === undefined) return undefined;
  return (await askLinks(world, { links: [way.dev], reached: [], macs: [] })).links.get(way.dev);
}
