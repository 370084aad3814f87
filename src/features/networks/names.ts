import { addressOf } from "../../net/address.ts";
import { identifierProblem } from "../../net/names.ts";
import type { Attached } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import { type Claim, claim } from "../../plan/step.ts";
import { removeAbandoned, type World } from "../../plan/world.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";

/** A name that a hosts file, and a resolver, can have. */
const hostName = /^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/;

/** Whether others can be told a name; nobody may be "localhost" to them. */
export function isHostName(name: string): boolean {
  return hostName.test(name) && name !== "localhost";
}

/** @throws Error for names that a container cannot have on the network */
export function checkAliases({ name, named }: NetworkList, aliases: readonly string[]): void {
  if (!named) {
    throw new Error(
      `network-scoped aliases are only supported for user-defined networks: ` +
        `"${name}" was not made by ocinet network create`,
    );
  }
  const bad = aliases.find((alias) => !hostName.test(alias));
  if (bad !== undefined) {
    throw new Error(
      `Cannot use alias ${JSON.stringify(bad)}: it is not one of up to 253 letters, digits, "_", "-" and "."`,
    );
  }
}

/** One of a container's networks, with its addresses there. */
type Member = Pick<Attached, "network" | "ifname" | "aliases" | "result">;

/**
 * What makes a container known on its networks: a file for each of its interfaces, with lines for the hosts files of all
 * that are on the network.
 */
export function nameClaims(
  state: string,
  { id }: { readonly id: string },
  attachments: readonly Member[],
  hostname: string | undefined,
): readonly Claim[] {
  return attachments.flatMap(({ network, ifname, aliases = [], result }) => {
    const ips = result?.ips ?? [];
    if (!network.named || ips.length === 0) return [];
    // The beginning of an id that people chose could be another's name.
    const short = /^[0-9a-f]{64}$/.test(id) ? [id.slice(0, 12)] : [];
    const all = [id, ...short, ...(hostname === undefined ? [] : [hostname]), ...aliases];
    const names = [...new Set(all)].filter(isHostName);
    const lines = ips.map(({ address }) => [addressOf(address), ...names].join(" "));
    return [claim(`${namesDirectory(state, network.name)}/${id} ${ifname}`, lines.join("\n"))];
  });
}

/** Where the names on a network are. */
export function namesDirectory(state: string, network: string): string {
  return `${state}/names/${network}`;
}

/**
 * Writes the names of networks into the hosts files of all that are on them, in place, since these are mounted.
 * @param leavers containers that are not on the networks any more
 */
export async function refreshNames(
  world: World,
  state: string,
  networks: readonly string[],
  leavers: readonly string[] = [],
): Promise<void> {
  for (const network of networks) {
    const unlock = await world.lock(`${state}/locks/.names-${network}`);
    try {
      const directory = namesDirectory(state, network);
      removeAbandoned(world, directory);
      const files = world.list(directory).filter((name) => /^[^. ][^ ]* [^ ]+$/.test(name)).sort();
      const lines = files.flatMap((name) => (world.read(`${directory}/${name}`) ?? "").split("\n"))
        .filter((line) => line !== "");
      const members = new Set(files.map((name) => name.split(" ")[0]!));
      if (files.length === 0) world.removeEmpty(directory);
      for (const id of members) writeBlock(world, state, id, { network, lines });
      for (const id of leavers) if (!members.has(id)) writeBlock(world, state, id, { network, lines: [] });
    } finally {
      unlock();
    }
  }
}

/** The same for every network on which anybody has a name. */
export async function refreshAllNames(world: World, state: string): Promise<void> {
  const networks = world.list(`${state}/names`).filter((name) => identifierProblem(name) === undefined);
  await refreshNames(world, state, networks);
}

/** A container has left networks: others' files are told, as far as they can be; who comes next tells the rest. */
export async function forgetNames(
  world: World,
  state: string,
  left: readonly Pick<Attached, "network">[],
  id: string,
): Promise<void> {
  const networks = left.filter(({ network }) => network.named).map(({ network }) => network.name);
  await refreshNames(world, state, networks, [id]).catch(() => {});
}

/** What a network's names stand between. */
const markers = (network: string) => [`# ocinet: network ${network}`, `# ocinet: end of ${network}`] as const;

/** The most of a hosts file that is read: a container may write what it likes into its own. */
const most = 1 << 20;

interface Block {
  readonly network: string;
  readonly lines: readonly string[];
}

/** What the container itself has written into its file stays. */
function writeBlock(world: World, state: string, id: string, block: Block): void {
  if (identifierProblem(id) !== undefined) return;
  const path = `${containerPaths(state, id).directory}/hosts`;
  const text = world.readStart(path, most);
  if (text === undefined) return;
  const next = withBlock(text, block);
  if (next !== text) world.put(path, next);
}

/** A hosts file in which a network's names are these. */
export function withBlock(text: string, { network, lines }: Block): string {
  const [begin, end] = markers(network);
  const rows = text.replace(/\n$/, "").split("\n");
  const [from, to] = [rows.indexOf(begin), rows.indexOf(end)];
  const block = lines.length === 0 ? [] : [begin, ...lines, end];
  const others = from < 0 || to < from
    ? [...rows, ...block]
    : [...rows.slice(0, from), ...block, ...rows.slice(to + 1)];
  return `${others.join("\n")}\n`;
}
