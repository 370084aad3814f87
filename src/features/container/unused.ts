/** What no container is left for: links, rules, sysctls and files of ours. */
import { forwardingSysctls } from "../../drivers/main/veth.ts";
import { findPassRules, removePassRule } from "../../engine/forward_policy.ts";
import { keptChanges } from "../../engine/kept_changes.ts";
import { listLinks } from "../../engine/links.ts";
import { livingNamespaces, seesAllProcesses } from "../../engine/process.ts";
import { containerFile, containerIds, pluginKeys, readPlugin } from "../../engine/record.ts";
import { forgetBridge } from "../../engine/shared_elements.ts";
import { unknownFile } from "../../engine/state.ts";
import { isRoot } from "../../engine/user.ts";
import { parseAddress } from "../../net/address.ts";
import { readUndamagedFile, removeAbandoned } from "../../plan/files.ts";
import type { Link } from "../../plan/host_state.ts";
import { ownAlias } from "../../plan/ip.ts";
import { dropBridgeTable } from "../../plan/nft/bridge.ts";
import { parseElements, showElement } from "../../plan/nft/listing.ts";
import { dropTable, sharedSets } from "../../plan/nft/table.ts";
import { whyFailed, type World } from "../../plan/world.ts";

/** A thing that containers share, with no container left to share it. */
interface Unused {
  readonly what: string;
  remove(): Promise<void>;
}

/**
 * Removes our tables, the bridges we made and empty state, and puts back what we changed of others' links, as far as no
 * container is left that needs it; forwarding, too, unless other programs' links have come to need it.
 * @param gone containers that count as gone although there is state of theirs, as after a dry run
 * @returns what it was
 */
export async function collectUnused(
  world: World,
  state: string,
  gone: readonly string[],
): Promise<readonly string[]> {
  removeAbandoned(world, state);
  // A process that attaches a container shares the directory meanwhile: what it sees is not to vanish under it.
  const release = await world.tryOwn(state);
  if (!release) return [];
  try {
    if (containerIds(world, state).some((id) => !gone.includes(id))) return [];
    // Endpoints of Docker's are its plugin's to take away.
    if (world.list(`${state}/docker`).length > 0) return [];
    const unused = [
      ...(isRoot(world) ? await unusedLinksAndRules(world, state, linesOf(world, state, gone)) : []),
      ...unusedState(world, state, gone),
      ...innerState(world, state),
    ];
    for (const { remove } of unused) await remove();
    await removeLocks(world, state);
    return unused.map(({ what }) => what);
  } finally {
    release();
  }
}

/** What is written down of containers, as far as that can be read. */
function linesOf(world: World, state: string, ids: readonly string[]): string {
  const texts = ids.flatMap((id) => [
    readUndamagedFile(world, containerFile(state, id)) ?? "",
    ...pluginKeys(world, state, id).map((key) => JSON.stringify(readPlugin(world, state, key) ?? "")),
  ]);
  return texts.join("\n").replaceAll('\\"', '"');
}

/** @param going lines of elements that do not count */
async function unusedLinksAndRules(world: World, state: string, going: string): Promise<readonly Unused[]> {
  const tables = await unusedTables(world, going);
  const links = await listLinks(world);
  const bridges = unusedBridges(world, links);
  if (!tables) return bridges;
  const { stdout } = await world.run(["nft", "list", "table", "inet", "ocinet"], { looks: true });
  const kept = keptChanges(world, state);
  // Other programs' links have come to be forwarded by: that stays on, and what keeps the host's own links apart.
  if (!hasNewLinks(world, links, stdout)) return [...tables, ...kept, ...bridges];
  return [
    ...tables.filter(({ what }) => what !== "nft table inet ocinet"),
    ...kept.filter(({ step }) => step?.tool !== "sysctl" || !isForwarding(step.key)),
    ...bridges,
  ];
}

/** Whether there are links, other than ours, that were not when forwarding was turned on. @param table our table */
function hasNewLinks(world: World, links: readonly Link[], table: string): boolean {
  const before = parseElements(table).filter(({ set }) => set.startsWith("unforwarded"))
    .map(({ key }) => key.split('"')[1]!);
  if (before.length === 0) return false;
  const isOurs = (name: string) =>
    /^(lo|veth[0-9a-f]{11}|.+\+[0-9]+)$/.test(name) ||
    world.read(`/sys/class/net/${name}/ifalias`)?.trim() === ownAlias;
  return links.some(({ name }) => !before.includes(name) && !isOurs(name));
}

/** Forwarding, and what goes with it. */
function isForwarding(key: string): boolean {
  return forwardingSysctls.includes(key) || /\/(accept_ra|forwarding)$/.test(key);
}

/** A table with an element in it serves a container whose state we do not see: then there are none. */
async function unusedTables(world: World, going: string): Promise<readonly Unused[] | undefined> {
  const found: Unused[] = [];
  for (const [family, drop] of [["inet", dropTable], ["bridge", dropBridgeTable]] as const) {
    const what = `nft table ${family} ocinet`;
    const output = await world.run(["nft", "list", "table", family, "ocinet"], { looks: true });
    const isGone = output.code !== 0 && output.stderr.includes("No such file or directory");
    if (isGone) continue;
    if (output.code !== 0) throw new Error(`Cannot look at ${what}: ${whyFailed(output)}`);
    const elements = parseElements(output.stdout).filter(({ set }) => !sharedSets.includes(set));
    if (elements.some((element) => !going.includes(showElement(element)))) return undefined;
    found.push({ what, remove: () => removeBy(world, what, ["nft", "-f", "-"], drop) });
  }
  const rules = (await findPassRules(world)).map((rule) => ({
    what: `${rule.command} rule in ${rule.name}`,
    remove: () => removePassRule(world, rule),
  }));
  return [...found, ...rules];
}

/** Bridges, and parents of macvlan and ipvlan. A bridge's gateway on a VLAN is a link `br0.7` of ours, whose other end is the bridge's port `br0+7`. */
function unusedBridges(world: World, links: readonly Link[]): readonly Unused[] {
  const ports = new Map<string, string[]>();
  links.forEach(({ name, master = "" }) => ports.set(master, [...ports.get(master) ?? [], name]));
  const own = links.filter(({ alias }) => alias === ownAlias)
    .map(({ name, kind }) => ({ name, kind, bridge: bridgeOf(name, ports) }))
    // Others may have been given our alias by hand.
    .filter(({ name, kind, bridge }) => name !== bridge || ["bridge", "vlan", "dummy"].includes(kind));
  return own.filter(({ bridge }) => (ports.get(bridge) ?? []).every((port) => port.startsWith(`${bridge}+`)))
    .map(({ name, kind, bridge }) => ({
      what: name === bridge ? `${kind} ${name}` : `link ${name} of bridge ${bridge}`,
      remove: async () => {
        await forgetBridge(world, name);
        await removeBy(world, `link ${name}`, ["ip", "link", "del", "dev", name]);
      },
    }));
}

async function removeBy(world: World, what: string, argv: readonly string[], stdin?: string): Promise<void> {
  const output = await world.run(argv, stdin === undefined ? {} : { stdin });
  if (output.code !== 0) throw new Error(`Cannot remove ${what}: ${whyFailed(output)}`);
}

/** @param ports of each bridge */
function bridgeOf(name: string, ports: ReadonlyMap<string, readonly string[]>): string {
  const bridge = name.replace(/\.[0-9]+$/, "");
  const id = name.slice(bridge.length + 1);
  return ports.get(bridge)?.includes(`${bridge}+${id}`) ? bridge : name;
}

/** What is left of state when no container is: where allocation went on, what hooks said, and empty directories. */
function unusedState(world: World, state: string, gone: readonly string[]): readonly Unused[] {
  const networks = world.list(`${state}/networks`);
  const leased = networks.some((name) =>
    world.list(`${state}/networks/${name}`).filter((file) => parseAddress(file)).some((file) =>
      !gone.includes(readUndamagedFile(world, `${state}/networks/${name}/${file}`)?.split(/\s/)[0] ?? "")
    )
  );
  const names = [
    "networks",
    "names",
    "ports",
    "resolver",
    "containers",
    "meetings",
    "results",
    "hook.log",
    "pasta.version",
  ]
    .filter((name) => world.stat(`${state}/${name}`) !== undefined && !unknownFile(world, state, name));
  if (leased || names.length === 0) return [];
  const remove = () => {
    names.forEach((name) => world.remove(`${state}/${name}`));
    return Promise.resolve();
  };
  return [{ what: `state in ${state}`, remove }];
}

/** State of containers that a user's namespaces held (state.ts), where no process is left in these. */
function innerState(world: World, state: string): readonly Unused[] {
  const inner = world.list(state).filter((name) => /^netns-[0-9]+$/.test(name));
  if (inner.length === 0 || !seesAllProcesses(world)) return [];
  const living = livingNamespaces(world);
  return inner.filter((name) => !living.has(`net:[${name.slice(6)}]`)).map((name) => ({
    what: `state in ${state}/${name}`,
    remove: () => Promise.resolve(world.remove(`${state}/${name}`)),
  }));
}

/** Takes away locks that no process has: one that is killed leaves the file. */
async function removeLocks(world: World, state: string): Promise<void> {
  const directory = `${state}/locks`;
  for (const name of world.list(directory)) (await world.tryLock(`${directory}/${name}`))?.();
  world.removeEmpty(directory);
}
