import { statePath } from "./files.ts";
import { findProgram } from "../../plan/programs.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { hiddenFiles, misspeltKeys, unreadNetworks } from "../networks/mistakes.ts";
import { loadNetworks } from "../networks/networks.ts";
import { containerIds } from "../../engine/record.ts";
import { describeAll } from "../container/describe.ts";
import { configDirectory } from "../../engine/state.ts";
import { type Check, type Finding, kindOf, ok, warn } from "./finding.ts";

/** Checks for past errors, and for problems that only show with the next container. */
export const historyChecks: readonly Check[] = [
  { name: "networks", look: lookAtNetworks },
  { name: "containers", look: lookAtContainers },
  { name: "last failed hook", look: lookAtHookLog },
  { name: "podman's hooks", look: lookAtPodmansHooks },
];

function lookAtNetworks(world: World): readonly Finding[] {
  const name = "networks";
  const found = loadNetworks({ ...world, warn: () => {} }, []);
  const mistakes = [
    ...found.filter(({ path }) => path !== undefined).flatMap((one) => misspeltKeys(world, one)),
    ...hiddenFiles(world, `${configDirectory(world)}/net.d`),
  ];
  const remedy = "mend that file, or move it away; its network cannot be used until then";
  return [
    ...ok(name, found.map(({ list }) => list.name).join(", ")),
    ...mistakes.flatMap((mistake) => warn(name, mistake, "correct the file, unless it is meant so")),
    ...unreadNetworks(world).flatMap((problem) => warn(name, problem, remedy)),
  ];
}

/** Reports what is missing of containers, as `ls` does. */
async function lookAtContainers(world: World): Promise<readonly Finding[]> {
  const state = statePath(world);
  const all = await describeAll(world, state, containerIds(world, state));
  return all.filter(({ state }) => state === "partial").flatMap(({ id, reason }) => {
    const [what, ...remedy] = reason!.split("; ");
    return warn("containers", `${id}: ${what}`, remedy.join("; "));
  });
}

/** Reports the hook log, because crun does not show a hook's output. */
function lookAtHookLog(world: World): readonly Finding[] {
  const path = `${statePath(world)}/hook.log`;
  const failed = (readUndamagedFile(world, path) ?? "").split("\n").findLast((line) =>
    / (createRuntime|prestart|createContainer|poststop|auto|agent) [^ ]+: /.test(line)
  );
  return failed === undefined ? [] : ok("last failed hook", `${failed} (${path})`);
}

const usualHooks = "/usr/share/containers/oci/hooks.d";

/** Reports if podman does not read our hook file. Our annotations would then be ignored silently. */
function lookAtPodmansHooks(world: World): readonly Finding[] {
  const name = "podman's hooks";
  if (findProgram(world, "podman") === undefined) return [];
  const configured = ["/etc/containers/containers.conf", "/usr/share/containers/containers.conf"]
    .map((path) => /^\s*hooks_dir\s*=\s*\[([^\]]*)\]/m.exec(world.read(path) ?? "")?.[1])
    .find((list) => list !== undefined);
  const directories = configured?.match(/"[^"]+"/g)?.map((word) => word.slice(1, -1)) ??
    (kindOf(world) === "root" ? [usualHooks] : []);
  if (directories.length === 0) {
    return ok(name, "podman reads them only from a --hooks-dir, as an ordinary user");
  }
  const file = directories.map((directory) => `${directory}/ocinet.json`).find((path) => world.stat(path));
  return ok(
    name,
    file ??
      `no ocinet.json in ${directories.join(", ")}; for podman: ocinet hooks-json > ${
        directories[0]
      }/ocinet.json`,
  );
}
