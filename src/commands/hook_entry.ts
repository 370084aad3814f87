import { type HookEntry, hookMark } from "../wire/oci/config.ts";
import { type OptionValues, toWords } from "../wire/oci/options.ts";
import { needProgram, programDirectories } from "../plan/programs.ts";
import type { World } from "../plan/world.ts";
import { containerHookScript } from "../features/container/create_container_hook.ts";
import { outerUid } from "../engine/user.ts";

/** What of our environment a hook needs to find the same state and networks as we do; a runtime may pass none. */
const kept = ["HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "OCINET_STATE_DIR"];

/** The entries that call this very file on this very runtime, whatever environment the container's runtime has. */
export function hookEntries(world: World, given: OptionValues): Readonly<Record<string, HookEntry>> {
  const path = world.self.at(-1)!;
  const env = [...environment(world), `OCINET_RUNTIME=${world.runtimePath}`];
  const entry = (stage: string, words: readonly string[]) => ({
    ...{ path, args: [path, "hook", stage, ...words], env },
  });
  return { createRuntime: entry("createRuntime", toWords(given)), poststop: entry("poststop", []) };
}

/** One more for a container with a user namespace: from outside some runtimes let no process in. */
export function insideEntry(world: World): Readonly<Record<string, HookEntry>> {
  const entry = {
    path: needProgram(world, "sh"),
    args: ["sh", "-c", containerHookScript],
    env: environment(world),
  };
  return { createContainer: entry };
}

function environment(world: World): readonly string[] {
  const own = outerUid(world) === 0 ? ["OCINET_STATE_DIR"] : kept;
  return [
    hookMark,
    `PATH=${programDirectories.join(":")}`,
    ...own.flatMap((name) => world.env(name) ? [`${name}=${world.env(name)}`] : []),
  ];
}
