import { identifierProblem } from "../net/names.ts";
import { UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { containerIds, pluginKeys, readContainer, readPlugin } from "../engine/record.ts";
import { isRoot } from "../engine/user.ts";

/** Ids that runtimes make, of which a beginning is enough; a name is never taken for another that begins like it. */
const made = /^[0-9a-f]{32,}$/;

/**
 * The id that a person means: an id, ours or a runtime's, the beginning of one that a runtime made, or what `ocinet up`
 * was given, a process or the path of a namespace. What is none of these is taken as it is.
 * @throws UsageError for what can be no id, or begins more than one
 */
export function findId(world: World, state: string, text: string): string {
  const ids = containerIds(world, state);
  const known = [text, `pid-${text}`].find((id) => ids.includes(id));
  if (known !== undefined) return known;
  if (text.startsWith("/")) return ids.find((id) => isOf(world, state, id, text)) ?? refusePath(text);
  const byHash = ids.find((id) => id.startsWith("id-") && runtimeIdOf(world, state, id) === text);
  if (byHash !== undefined) return byHash;
  const problem = identifierProblem(text);
  if (problem) throw new UsageError(`Cannot use container id ${JSON.stringify(text)}: ${problem}`);
  const longer = ids.filter((id) => made.test(id) && id.startsWith(text));
  if (longer.length > 1) {
    throw new UsageError(
      `Cannot use container id "${text}": it begins ${longer.length} of them; give more of it`,
    );
  }
  return longer[0] ?? text;
}

function runtimeIdOf(world: World, state: string, id: string): string | undefined {
  try {
    return readContainer(world, state, id)?.runtimeId;
  } catch {
    // A record that cannot be read says nothing.
    return undefined;
  }
}

function isOf(world: World, state: string, id: string, path: string): boolean {
  try {
    const all = [
      readContainer(world, state, id),
      ...pluginKeys(world, state, id).map((key) => readPlugin(world, state, key)),
    ];
    return all.some((record) => record?.container.netns === path);
  } catch {
    // A record that cannot be read says nothing of its path.
    return false;
  }
}

function refusePath(path: string): never {
  throw new UsageError(
    `Cannot use ${path}: no container is attached by this path; ocinet ls lists their ids`,
  );
}

/** The refusal of a container that is not there. */
export function notAttached(world: World, what: string, id: string): Error {
  const others = isRoot(world) ? "" : "; root's containers are shown by sudo ocinet ls";
  return new Error(
    `Cannot ${what} container ${JSON.stringify(id)}: it is not attached; see ocinet ls${others}`,
  );
}
