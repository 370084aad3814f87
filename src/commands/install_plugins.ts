import type { World } from "../plan/world.ts";
import { table } from "../drivers/table.ts";
import { isStub, stubStart } from "../engine/external_plugin.ts";
import { checkDirectory } from "../engine/trusted_path.ts";
import { absolutePath, linkTarget } from "../plan/files.ts";
import { quote } from "../plan/batch.ts";
import type { Report } from "./report.ts";

/** What calls a plugin: a CNI runtime each type by its name, netavark one file with the name of the driver. */
const callers = {
  cni: () => Object.keys(table).map((type) => ({ type, words: `plugin ${type}` })),
  netavark: () => [{ type: "ocinet", words: "netavark-plugin" }],
};

/**
 * Makes a file for each plugin type that calls this one, under the type's name. It is no link: a user who copies another plugin
 * over it, as installers do, would write into the file that it leads to.
 * @param remove takes away those that are ours instead
 * @throws Error when a name is taken by something else; then none is made
 */
export function installPlugins(
  world: World,
  directory: string,
  remove: boolean,
  caller: keyof typeof callers = "cni",
): Promise<Report> {
  checkDirectory(
    world,
    absolutePath(world, directory),
    `install plugins in ${directory}`,
    "name one elsewhere",
  );
  const files = callers[caller]().map((one) => ({ ...one, path: `${directory}/${one.type}` }));
  const ours = files.filter(({ path }) => isOurs(world, path));
  if (remove) {
    ours.forEach(({ path }) => world.remove(path));
    return Promise.resolve(report(directory, ours));
  }
  const taken = files.find(({ path }) => world.stat(path, "itself") !== undefined && !isOurs(world, path));
  if (taken) {
    throw new Error(
      `Cannot install plugin "${taken.type}" in ${directory}: there is a file of that name; move it away first`,
    );
  }
  world.makeDirectory(directory, 0o755);
  const self = quote(world.self.at(-1)!);
  for (const { words, path } of files) {
    world.write(path, `${stubStart}exec ${self} ${words} "$@"\n`, 0o755);
  }
  return Promise.resolve(report(directory, files));
}

function report(directory: string, files: readonly { type: string; path: string }[]): Report {
  return {
    json: { directory, types: files.map(({ type }) => type) },
    text: files.map(({ path }) => `${path}\n`).join(""),
  };
}

/** Ours are such files, and links to us of before. */
function isOurs(world: World, path: string): boolean {
  return isStub(world, path) || linkTarget(world, path) !== undefined;
}
