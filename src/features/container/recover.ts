import { digest, vethFrom } from "../../net/names.ts";
import { parseAddress } from "../../net/address.ts";
import { removeLinkAtUndo } from "../../plan/ip.ts";
import { type Claim, claim, endFlowsTo, type Step } from "../../plan/step.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { linkExists } from "../../engine/links.ts";
import { ownedRules } from "../../engine/owned_rules.ts";
import { containerKey, type ContainerRecord, newRecord } from "../../engine/record.ts";
import { loadNetworks } from "../networks/networks.ts";
import { uplinkPidFile } from "../../drivers/uplinks/supervise.ts";
import { relayDirectory } from "../rootless/relay.ts";
import { ownerIsAlive, readPids } from "../../engine/process.ts";
import { containerPaths } from "../../engine/state.ts";
import { isRoot } from "../../engine/user.ts";

/**
 * Makes a new record for a container whose own is unreadable: its links, whose names follow from its id; the addresses
 * and ports claimed for it; its rules; the processes of its uplink and relay. Anything else that an unknown
 * configuration gave it (e.g. an address of `static`) is not found.
 */
export async function recover(world: World, state: string, id: string): Promise<ContainerRecord> {
  const leases = findLeases(world, state, id);
  const links = await linkNames(world, leases, id);
  const ports = findPortClaims(world, state, id);
  const paths = containerPaths(state, id);
  const { directory } = paths;
  return newRecord<ContainerRecord>(world, {
    ...{ ...containerKey(id), created: "", container: { netns: "", identity: "" } },
    ...{ phase: "planned", attachments: [], ports: [], recovered: true },
    steps: [
      ...[...leases.map(({ claim }) => claim), ...ports],
      ...links.filter((name) => linkExists(world, name)).map((name) => removeLinkAtUndo("host", name)),
      ...await findRules(world, id, links, ports),
      ...[directory, relayDirectory(state, id)].map((of) => stopProgram(state, of)),
    ],
  });
}

/** What shows that such a container still exists, or undefined. */
export async function findLiving(world: World, state: string, id: string): Promise<string | undefined> {
  const links = await linkNames(world, findLeases(world, state, id), id);
  const link = links.find((name) => linkExists(world, name));
  if (link !== undefined) return `link ${link}`;
  const paths = containerPaths(state, id);
  const pids = [paths.directory, relayDirectory(state, id)].flatMap((of) =>
    readPids(world, uplinkPidFile(of))
  );
  const pid = pids.find((pid) => ownerIsAlive(world, pid, state));
  return pid === undefined ? undefined : `process ${pid}`;
}

interface FoundLease {
  readonly network: string;
  readonly ifname: string;
  readonly address: string;
  readonly claim: Claim;
}

/** The addresses reserved for the container, in our own directory and in those that networks name. */
function findLeases(world: World, state: string, id: string): readonly FoundLease[] {
  const named = loadNetworks(world, []).flatMap(({ list }) =>
    list.plugins.map(({ ipam }) => (ipam as { dataDir?: unknown } | undefined)?.dataDir)
  );
  const paths = named.flatMap((path) => typeof path === "string" && path.startsWith("/") ? [path] : []);
  const directories = new Set([`${state}/networks`, ...paths]);
  return [...directories].flatMap((directory) =>
    world.list(directory).flatMap((network) => leasesOf(world, `${directory}/${network}`, network, id))
  );
}

function leasesOf(world: World, directory: string, network: string, id: string): readonly FoundLease[] {
  return world.list(directory).flatMap((address) => {
    const path = `${directory}/${address}`;
    const owner = parseAddress(address) === undefined ? undefined : readUndamagedFile(world, path)?.trim();
    const [container, ifname = "eth0"] = owner?.split(/\s+/) ?? [];
    if (container !== id) return [];
    return [{ network, ifname, address, claim: claim(path, owner!) }];
  });
}

/** The interface names to try on networks that reserve no address. */
const usualNames = Array.from({ length: 8 }, (_, i) => `eth${i}`);

/** The names that its links on the host would have. */
async function linkNames(
  world: World,
  leases: readonly FoundLease[],
  id: string,
): Promise<readonly string[]> {
  const networks = loadNetworks(world, []).map(({ list }) => list.name);
  const pairs = [
    ...leases.map(({ network, ifname }) => [network, ifname] as const),
    ...networks.flatMap((network) => usualNames.map((ifname) => [network, ifname] as const)),
  ];
  const names = await Promise.all(
    pairs.map(async ([network, ifname]) => vethFrom(await digest(id, network, ifname))),
  );
  return [...new Set(names)];
}

/** The port claims that contain the container's id. */
function findPortClaims(world: World, state: string, id: string): readonly Claim[] {
  return world.list(`${state}/ports`).flatMap((protocol) =>
    world.list(`${state}/ports/${protocol}`).flatMap((port) => {
      const directory = `${state}/ports/${protocol}/${port}`;
      return world.list(directory).map((name) => `${directory}/${name}`)
        .filter((path) => readUndamagedFile(world, path)?.trim() === id)
        .map((path) => claim(path, id));
    })
  );
}

/** Its rules, and the flows to its ports. */
async function findRules(
  world: World,
  id: string,
  links: readonly string[],
  ports: readonly Claim[],
): Promise<readonly Step[]> {
  const flows = ports.filter(({ path }) => /\/ports\/udp(-ranges)?\//.test(path)).map(({ path }): Step => {
    const [port, name] = path.split("/").slice(-2) as [string, string];
    const address = name.split(" ")[1];
    return endFlowsTo(port, address === "any" ? undefined : address);
  });
  return isRoot(world) ? [...await ownedRules(world, id, links), ...flows] : flows;
}

function stopProgram(state: string, directory: string): Step {
  return {
    ...{ tool: "spawn", on: "host", run: [], name: "program" },
    ...{
      id: { kind: "process", pidFile: uplinkPidFile(directory) },
      pidFile: uplinkPidFile(directory),
      cmdlineMarker: state,
      cleanupPaths: [],
    },
  };
}
