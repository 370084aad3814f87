import type { World } from "../plan/world.ts";
import { table } from "../drivers/table.ts";
import type { Report } from "./report.ts";

/**
 * Makes a link to this file for each plugin type, under the type's name. Links of ours are made anew.
 * @throws Error when a name is taken by something else; then none is made
 */
export function installPlugins(world: World, directory: string): Promise<Report> {
  const file = world.self.at(-1)!;
  const types = Object.keys(table);
  const taken = types.find((type) =>
    world.stat(`${directory}/${type}`) !== undefined && !isLink(world, `${directory}/${type}`)
  );
  if (taken !== undefined) {
    throw new Error(
      `Cannot install plugin "${taken}" in ${directory}: there is a file of that name; move it away first`,
    );
  }
  world.makeDirectory(directory, 0o755);
  for (const type of types) {
    if (isLink(world, `${directory}/${type}`)) world.remove(`${directory}/${type}`);
    world.symlink(file, `${directory}/${type}`);
  }
  return Promise.resolve({
    json: { directory, types },
    text: types.map((type) => `${directory}/${type}\n`).join(""),
  });
}

function isLink(world: World, path: string): boolean {
  try {
    return world.readLink(path) !== undefined;
  } catch {
    // EINVAL: it is there, and no link.
    return false;
  }
}
