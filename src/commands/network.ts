import * as overlay from "../features/overlay/networks.ts";
import { stateDirectory } from "../engine/state.ts";
import { describeContainer } from "../features/container/describe.ts";
import { connectNetwork, disconnectNetwork } from "../features/container/live_networks.ts";
import { allNetworks, findNetwork, UnknownNetwork } from "../features/networks/catalog.ts";
import { createNetwork } from "../features/networks/create.ts";
import { describe, row } from "../features/networks/describe.ts";
import { endpointsIn } from "../features/networks/endpoints.ts";
import { parseFilters } from "../features/networks/filters.ts";
import { misspeltKeys } from "../features/networks/mistakes.ts";
import { loadNetworks } from "../features/networks/networks.ts";
import { findUnused, pruneNetworks, removeNetwork } from "../features/networks/remove.ts";
import { serviceOf } from "../features/networks/service_options.ts";
import { fillIn } from "../features/networks/template.ts";
import { createOn, openStore } from "../features/overlay/cluster.ts";
import { askInside, findSession } from "../features/session/session.ts";
import { identifierProblem } from "../net/names.ts";
import { absolutePath } from "../plan/files.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { oneLine, printJson } from "../wire/cni/output.ts";
import { type OptionValues, UsageError } from "../wire/oci/options.ts";
import { asTyped } from "../engine/usage.ts";
import { readMtu } from "./cluster.ts";
import { collectEnded } from "./gc.ts";
import { findId } from "./ids.ts";
import { type Report, rowsText, tableText } from "./report.ts";

/** Makes a network, and tells its id. */
export async function networkCreate(
  world: World,
  name: string,
  given: OptionValues,
  flags: ReadonlySet<string>,
): Promise<Report> {
  const all = (key: string) => given.get(key) ?? [];
  const listed = (key: string) => all(key).flatMap((value) => value.split(","));
  if (given.get("driver")?.at(-1) === overlayDriver) {
    return await createOverlay(world, name, given, flags);
  }
  const { note, ...made } = await createNetwork(world, stateDirectory(world), name, {
    driver: given.get("driver")?.at(-1) ?? "bridge",
    ipamDriver: given.get("ipam-driver")?.at(-1) ?? "default",
    subnets: listed("subnet"),
    ranges: listed("ip-range"),
    gateways: listed("gateway"),
    auxiliary: listed("aux-address"),
    ipamOptions: pairs("ipam-opt", all("ipam-opt")),
    ipv6: flags.has("ipv6"),
    internal: flags.has("internal"),
    attachable: flags.has("attachable"),
    configOnly: flags.has("config-only"),
    configFrom: given.get("config-from")?.at(-1),
    labels: pairs("label", all("label")),
    options: pairs("opt", all("opt")),
  });
  return { json: made, text: `${made.id}\n`, ...(note === undefined ? {} : { note }) };
}

const overlayDriver = "overlay";
const overlayOptions = "mtu, encrypted and multicast";

/** Makes a network of the whole cluster; each host's agent writes its file. */
async function createOverlay(
  world: World,
  name: string,
  given: OptionValues,
  flags: ReadonlySet<string>,
): Promise<Report> {
  const refused = (reason: string) => new UsageError(`Cannot create network "${name}" with ${reason}`);
  const known = ["driver", "subnet", "opt"];
  const unknown = flags.has("config-only")
    ? "config-only"
    : [...given.keys()].find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw refused(`--${unknown}: driver overlay has --subnet, --internal, and --opt ${overlayOptions}`);
  }
  const { "com.docker.network.driver.mtu": long, mtu = long, encrypted, multicast, ...others } = pairs(
    "opt",
    given.get("opt") ?? [],
  );
  const [other] = Object.keys(others);
  if (other !== undefined) throw refused(`--opt ${other}: driver overlay has ${overlayOptions}`);
  for (const [key, value] of Object.entries({ encrypted, multicast })) {
    if (["", "true", "false", undefined].includes(value)) continue;
    throw refused(`--opt ${key}=${value}: it may have no value, or be true or false`);
  }
  const isOn = (value: string | undefined) => value === "" || value === "true";
  const subnets = (given.get("subnet") ?? []).flatMap((value) => value.split(","));
  if (flags.has("ipv6") && !subnets.some((one) => one.includes(":"))) {
    throw refused("--ipv6: name the IPv6 subnet, such as --subnet fd00:9::/64");
  }
  const wish = {
    name,
    subnets,
    internal: flags.has("internal"),
    encrypted: isOn(encrypted),
    multicast: isOn(multicast),
    ...readMtu(name, mtu),
  };
  const made = await createOn(world, wish);
  return { json: made, text: `${name}\n` };
}

/** KEY=VALUE; a key alone has an empty value. */
function pairs(name: string, values: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(values.map((value) => {
    const at = value.indexOf("=");
    if (at === 0) throw new UsageError(`Cannot read --${name} ${JSON.stringify(value)}: it has no key`);
    return at < 0 ? [value, ""] : [value.slice(0, at), value.slice(at + 1)];
  }));
}

/** Lists networks. */
export async function networkList(
  world: World,
  given: OptionValues,
  flags: ReadonlySet<string>,
): Promise<Report> {
  const isWanted = filterOf(world, given, ["name", "id", "driver", "label", "scope", "type", "dangling"]);
  const endpoints = await endpointsIn(world, stateDirectory(world));
  const networks = (await allNetworks(world)).filter((network) =>
    isWanted({ network, isUsed: endpoints.some((one) => one.network === network.name) })
  );
  const rows = networks.map((network) => row(network, flags.has("no-trunc")));
  const json = networks.map((network) => describe(network, endpoints));
  if (flags.has("quiet")) return { json, text: rows.map(({ ID }) => `${ID}\n`).join("") };
  return { json, text: asTyped(() => listText(rows, given.get("format")?.at(-1) ?? "table")) };
}

function filterOf(world: World, given: OptionValues, keys: readonly string[]) {
  return asTyped(() => parseFilters(given.get("filter") ?? [], keys, world.now));
}

function listText(rows: readonly ReturnType<typeof row>[], format: string): string {
  if (format !== "table") return rowsText(format, rows);
  const cells = rows.map(({ ID, Name, Driver, Scope }) => [ID, Name, Driver, Scope] as string[]);
  return tableText(["NETWORK ID", "NAME", "DRIVER", "SCOPE"], cells);
}

function mistakesOf(world: World, names: readonly string[]): readonly string[] {
  return loadNetworks(world, []).filter(({ list }) => names.includes(list.name))
    .flatMap((found) => misspeltKeys(world, found));
}

/** Shows all that is known of networks; of those that are not there, the others are shown all the same. */
export async function networkInspect(
  world: World,
  terms: readonly string[],
  given: OptionValues,
): Promise<Report> {
  const networks = await allNetworks(world);
  const endpoints = await endpointsIn(world, stateDirectory(world));
  const { done, problems } = await each(
    terms,
    (term) => Promise.resolve(describe(findNetwork(networks, term), endpoints)),
  );
  for (const mistake of mistakesOf(world, done.map(({ Name }) => String(Name)))) world.warn(mistake);
  const format = given.get("format")?.at(-1) ?? "json";
  const text = format === "json"
    ? `${printJson(done, 2)}\n`
    : asTyped(() => done.map((one) => `${fillIn(format, one)}\n`).join(""));
  return { json: done, text, ...failed(problems) };
}

/** Removes networks, each by itself. */
export async function networkRemove(
  world: World,
  terms: readonly string[],
  isForced: boolean,
): Promise<Report> {
  const state = stateDirectory(world);
  await collectEnded(world, state);
  // A user's networks have their bridges, addresses and locks in the session.
  const isInside = findSession(world, state) !== undefined;
  const { done, problems } = await each(terms, async (term) => {
    const shared = await removeFromCluster(world, term);
    try {
      if (!isInside) return [await removeNetwork(world, state, term, isForced)];
      const { name } = await findUnused(world, state, term);
      await askInside(world, state, ["network", "rm", ...(isForced ? ["--force"] : []), name]);
      return [name];
    } catch (error) {
      if (!(error instanceof UnknownNetwork)) throw error;
      // The agent takes the file of one that is gone from the cluster.
      if (shared !== undefined) return [shared];
      if (isForced) return [];
      throw error;
    }
  });
  const names = done.flat();
  return { json: names, text: names.map((name) => `${name}\n`).join(""), ...failed(problems) };
}

/**
 * Removes an overlay network, which then goes from all hosts.
 * @returns its name, if it was one
 * @throws Error naming who is on it, on whichever host
 */
async function removeFromCluster(world: World, term: string): Promise<string | undefined> {
  const network = (await allNetworks(world)).find(({ name }) => name === term);
  if (network?.driver !== overlayDriver) return undefined;
  await overlay.removeNetwork(openStore(world), network.name);
  return network.name;
}

/** Removes the networks that no container is on; of an overlay network other hosts may have containers. */
export async function networkPrune(world: World, given: OptionValues): Promise<Report> {
  const state = stateDirectory(world);
  const isWanted = filterOf(world, given, ["label", "label!", "until"]);
  await collectEnded(world, state);
  const filters = (given.get("filter") ?? []).map((text) => `--filter=${text}`);
  const names: readonly string[] = findSession(world, state)
    ? JSON.parse(await askInside(world, state, ["network", "prune", "--json", ...filters]))
    : await pruneNetworks(
      world,
      state,
      (network) => network.driver !== overlayDriver && isWanted({ network, isUsed: false }),
    );
  const text = names.length === 0 ? "" : `Deleted Networks:\n${names.map((name) => `${name}\n`).join("")}`;
  return { json: names, text };
}

async function each<T>(
  terms: readonly string[],
  act: (term: string) => Promise<T>,
): Promise<{ readonly done: readonly T[]; readonly problems: readonly string[] }> {
  const done: T[] = [];
  const problems: string[] = [];
  for (const term of terms) {
    try {
      done.push(await act(term));
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return { done, problems };
}

function failed(problems: readonly string[]): Partial<Report> {
  return problems.length === 0 ? {} : { note: problems.map(oneLine).join("; "), code: 1 };
}

/** Connects a running container to a network. */
export async function networkConnect(
  world: World,
  [term, id]: readonly string[],
  given: OptionValues,
): Promise<Report> {
  const one = (key: string) => given.get(key)?.at(-1);
  const priority = one("gw-priority") ?? "0";
  if (!/^-?[0-9]{1,9}$/.test(priority)) {
    throw new UsageError(`Cannot read --gw-priority ${JSON.stringify(priority)}: it is not a whole number`);
  }
  const netDirectories = directoriesOf(world, given);
  const network = findNetwork(await allNetworks(world, netDirectories, term), term!);
  const state = stateDirectory(world);
  const record = await connectNetwork(world, state, findId(world, state, id!), network, {
    ...{ ip: one("ip"), ip6: one("ip6"), mac: one("mac-address"), ifname: one("ifname") },
    aliases: given.get("alias") ?? [],
    gwPriority: Number(priority),
    ...asTyped(() => serviceOf(given)),
    netDirectories,
  });
  return { json: describeContainer(world, record), text: "" };
}

/** Takes a container off a network. */
export async function networkDisconnect(
  world: World,
  [term, id]: readonly string[],
  given: OptionValues,
  isForced: boolean,
): Promise<Report> {
  const network = nameOf(await allNetworks(world, directoriesOf(world, given)), term!);
  const state = stateDirectory(world);
  const record = await disconnectNetwork(world, state, { id: findId(world, state, id!), network, isForced });
  return { json: record ? describeContainer(world, record) : {}, text: "" };
}

function directoriesOf(world: World, given: OptionValues): readonly string[] {
  return (given.get("net-dir") ?? []).map((path) => absolutePath(world, path));
}

/** Of a network whose file is gone, containers know the name. */
function nameOf(networks: Parameters<typeof findNetwork>[0], term: string): string {
  try {
    return findNetwork(networks, term).name;
  } catch (error) {
    if (error instanceof UnknownNetwork && identifierProblem(term) === undefined) return term;
    throw error;
  }
}
