import { oneLine } from "../wire/cni/output.ts";
import { readUndamagedFile } from "../plan/files.ts";
import type { World } from "../plan/world.ts";

/** Writes a line to the hook log, because crun does not show a hook's output. Old lines are dropped. */
export function note(world: World, state: string, line: string): void {
  const path = `${state}/hook.log`;
  const old = (readUndamagedFile(world, path) ?? "").split("\n").slice(-100).join("\n");
  world.write(path, `${old}${new Date(world.now()).toISOString()} ${oneLine(line)}\n`);
}
