/**
 * Reads records of format 1, which the first version of ocinet wrote, in today's format. So their attachments can be
 * removed with their own steps. A container's record was in its directory, a plugin's below "cni". Steps did not name
 * their resource.
 */
import type { Resource } from "../plan/resource.ts";
import type { World } from "../plan/world.ts";
import type { RecordKey } from "./record.ts";
import { containerPaths } from "./state.ts";

type Json = Readonly<Record<string, unknown>>;

/** A container's record of format 1, if there is one. @returns its path, and its text in today's format */
export function readOldContainer(
  world: World,
  state: string,
  id: string,
): { readonly path: string; readonly text: string } | undefined {
  const path = `${containerPaths(state, id).directory}/journal.json`;
  const text = world.read(path);
  return text === undefined
    ? undefined
    : { path, text: upgraded(text, { network: "", ifname: "", part: "container" }) };
}

/** The record of a plugin's ADD of format 1, as text in today's format. */
export function readOldPlugin(world: World, state: string, key: RecordKey): string | undefined {
  const text = world.read(oldPath(state, key));
  return text && upgraded(text, { id: key.id, part: key.part });
}

/** Removes the record and the directories that become empty. */
export function removeOldPlugin(world: World, state: string, key: RecordKey): void {
  const path = oldPath(state, key);
  if (world.stat(path) === undefined) return;
  world.remove(path);
  for (let at = path.lastIndexOf("/"); at >= `${state}/cni`.length; at = path.lastIndexOf("/", at - 1)) {
    world.removeEmpty(path.slice(0, at));
  }
}

/** The keys of all plugins' records of format 1. */
export function oldPluginKeys(world: World, state: string): readonly RecordKey[] {
  return world.list(`${state}/cni`).flatMap((network) =>
    world.list(`${state}/cni/${network}`).flatMap((id) =>
      world.list(`${state}/cni/${network}/${id}`).flatMap((name) => {
        const [, ifname, part] = /^([^ ]+) (.*)\.json$/.exec(name) ?? [];
        return part === undefined ? [] : [{ id, network, ifname: ifname!, part }];
      })
    )
  );
}

function oldPath(state: string, { network, id, ifname, part }: RecordKey): string {
  return `${state}/cni/${network}/${id}/${ifname} ${part}.json`;
}

/** Converts a text of format 1. Any other text is unchanged, so that its reader reports what is wrong with it. */
function upgraded(text: string, key: Partial<RecordKey>): string {
  try {
    const record = JSON.parse(text) as Json & { steps?: unknown; settled?: number } | null;
    if (record?.["format"] !== 1 || !Array.isArray(record.steps)) return text;
    const { settled, ...rest } = record;
    const before = settled === undefined ? {} : { before: settled };
    return JSON.stringify({ ...rest, ...key, ...before, format: 2, steps: record.steps.map(upgradedStep) });
  } catch {
    return text;
  }
}

/** Fields of a step that were renamed. */
const names: Readonly<Record<string, string>> = {
  ...{ mark: "cmdlineMarker", leaves: "cleanupPaths", takesLeave: "gracefulStop", sparesLinks: "keepsLinks" },
};

/** Flags of a step, and the fields that replaced them. */
const flags: Readonly<Record<string, Json>> = {
  ...{
    optional: { onError: "ignore" },
    tolerant: { onError: "ignore" },
    shared: { onError: "ignore-exists" },
  },
  ...{ lasting: { undoBy: "gc" }, guards: { before: true } },
};

function upgradedStep(step: Json): Json {
  const fields = Object.entries(step).map(([key, value]) => flags[key] ?? { [names[key] ?? key]: value });
  return Object.assign({ id: resourceOf(step) }, ...fields) as Json;
}

/** The resource of a step, precise enough to undo it. Rules of one table are undone together. */
function resourceOf({ tool, run, key, path, socket, port, address, pidFile }: Json): Resource {
  const [, set, element] = /^add element (.*) \{ (.*?)(?: : .*)? \}$/.exec(String(run)) ?? [];
  if (tool === "nft" && set !== undefined) return { kind: "element", set, key: element! };
  if (tool === "sysctl") return { kind: "sysctl", key: String(key) };
  if (tool === "claim") return { kind: "file", path: String(path) };
  if (tool === "spawn") return { kind: "process", pidFile: String(pidFile) };
  if (tool === "send") return { kind: "request", socket: String(socket), key: portKey(run) };
  if (tool === "conntrack") {
    return {
      kind: "flows",
      port: String(port),
      ...(address === undefined ? {} : { address: String(address) }),
    };
  }
  const [, veth] = /^link add name (\S+) .* type veth peer /.exec(String(run)) ?? [];
  return veth === undefined
    ? { kind: "command", what: String(run) }
    : { kind: "link", link: veth, type: "veth" };
}

/** The key by which hostfwd.ts finds a port. */
function portKey(run: unknown): string {
  try {
    const { arguments: port } = JSON.parse(String(run)) as { readonly arguments?: Json };
    return `${port?.["proto"]} ${port?.["host_addr"]} ${port?.["host_port"]}`;
  } catch {
    return String(run);
  }
}
