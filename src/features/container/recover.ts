import { digest, vethFrom } from "../../net/names.ts";
import { parseAddress } from "../../net/address.ts";
import { removeLinkAtUndo } from "../../plan/ip.ts";
import type { Resource } from "../../plan/resource.ts";
import { type Claim, claim, endFlowsTo, line, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { linkExists } from "../../engine/links.ts";
import { containerKey, type ContainerRecord, newRecord } from "../../engine/record.ts";
import { loadNetworks } from "../networks/networks.ts";
import { uplinkPidFile } from "../../drivers/uplinks/supervise.ts";
import { relayDirectory } from "../rootless/relay.ts";
import { ownerIsAlive, readPids } from "../../engine/process.ts";
import { containerPaths } from "../../engine/state.ts";
import { isRoot } from "../../engine/user.ts";

/**
 * A record written anew for a container whose own cannot be read: its links, by names that follow from its id; the
 * addresses and ports that are claimed in its name; the rules that lead to these; its uplink's and relay's processes. What an unknown
 * configuration gave it beside that (an address of `static`, say) is not found.
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
      ...await findRules(world, [...leases.map(({ address }) => address), ...links], ports),
      ...[directory, relayDirectory(state, id)].map((of) => stopProgram(state, of)),
    ],
  });
}

/** What shows that such a container still lives, or undefined. */
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

/** Addresses reserved for the container, in our own directory and those that networks name. */
function findLeases(world: World, state: string, id: string): readonly FoundLease[] {
  const named = loadNetworks(world, []).flatMap(({ list }) =>
    list.plugins.map(({ ipam }) => (ipam as { dataDir?: unknown } | undefined)?.dataDir)
  );
  const directories = new Set([`${state}/networks`, ...named.filter((path) => typeof path === "string")]);
  return [...directories].flatMap((directory) =>
    world.list(directory).flatMap((network) => leasesOf(world, `${directory}/${network}`, network, id))
  );
}

function leasesOf(world: World, directory: string, network: string, id: string): readonly FoundLease[] {
  return world.list(directory).flatMap((address) => {
    const path = `${directory}/${address}`;
    const owner = parseAddress(address) === undefined ? undefined : world.read(path)?.trim();
    const [container, ifname = "eth0"] = owner?.split(/\s+/) ?? [];
    if (container !== id) return [];
    return [{ network, ifname, address, claim: claim(path, owner!) }];
  });
}

/** Interfaces that a container may have on networks that reserve no address. */
const usualNames = Array.from({ length: 8 }, (_, i) => `eth${i}`);

/** The names that its links on the host have, if they are there. */
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

/** The files in the directories of ports that have the container's id in them. */
function findPortClaims(world: World, state: string, id: string): readonly Claim[] {
  return world.list(`${state}/ports`).flatMap((protocol) =>
    world.list(`${state}/ports/${protocol}`).flatMap((port) => {
      const directory = `${state}/ports/${protocol}/${port}`;
      return world.list(directory).map((name) => `${directory}/${name}`)
        .filter((path) => world.read(path)?.trim() === id)
        .map((path) => claim(path, id));
    })
  );
}

/** Elements and chains of our tables that name one of these addresses or links. */
async function findRules(
  world: World,
  names: readonly string[],
  ports: readonly Claim[],
): Promise<readonly Step[]> {
  const flows = ports.filter(({ path }) => path.includes("/ports/udp/")).map(({ path }): Step => {
    const [port, name] = path.split("/").slice(-2) as [string, string];
    const address = name.split(" ")[1];
    return endFlowsTo(port, address === "any" ? undefined : address);
  });
  if (!isRoot(world)) return flows;
  const tables = await Promise.all(["inet", "bridge"].map(async (family) => {
    const list = ["nft", "--numeric", "list", "table", family, "ocinet"];
    const { stdout } = await world.run(list, { looks: true });
    const found = (id: Resource, verb: string, what: string) =>
      line("nft", "host", id, `${verb} ${what}`, { undo: `delete ${what}` });
    // A chain goes after the element that leads to it.
    return [
      ...chainsOf(stdout).filter((chain) => namesOneOf(chain, names))
        .map((chain) =>
          found(
            { kind: "chain", table: `${family} ocinet`, chain },
            "list",
            `chain ${family} ocinet ${chain}`,
          )
        ),
      ...elementsOf(stdout).filter(({ element }) => namesOneOf(element, names))
        .map(({ set, element }) =>
          found(
            { kind: "element", set: `${family} ocinet ${set}`, key: element },
            "get",
            `element ${family} ocinet ${set} { ${element} }`,
          )
        ),
    ];
  }));
  return [...tables.flat(), ...flows];
}

/** The elements in what `nft list table` prints, each with the name of its set or map. */
export function elementsOf(text: string): readonly { readonly set: string; readonly element: string }[] {
  const [first, ...rest] = text.split("elements = {");
  let before = first!;
  return rest.flatMap((part) => {
    const set = before.match(/(?:set|map) \S+ \{/g)?.at(-1)?.split(" ")[1] ?? "";
    before = part;
    return part.slice(0, part.indexOf("}")).split(",").map((element) => ({
      set,
      element: element.trim().replace(/\s+/g, " "),
    }));
  });
}

function chainsOf(text: string): readonly string[] {
  return Array.from(text.matchAll(/^\tchain (\S+) \{/gm), ([, name]) => name!);
}

/** A port's chain is a link's name and more (publishWhen). */
function namesOneOf(element: string, names: readonly string[]): boolean {
  return element.replaceAll('"', "").split(" ").some((word) => names.includes(word.split("_")[0]!));
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
