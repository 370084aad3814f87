import { reachableNames } from "../../engine/name_servers.ts";
import { containerPaths } from "../../engine/state.ts";
import { formatResolvConf, type ResolvConf } from "../../net/resolv_conf.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";

/** The origin named in the text of a file with the host's name servers. */
export const fromHost = "the host";

/** Whether these DNS settings are the host's own. */
export function areHosts(world: World, names: ResolvConf): boolean {
  return JSON.stringify(names) === JSON.stringify(reachableNames(world));
}

/**
 * The last text with the host's name servers that was given to the container. The container may have changed its own
 * file since.
 */
export function toldFile(directory: string): string {
  return `${directory}/resolv.conf.told`;
}

/**
 * Updates the host's name servers in a container if they have changed and the container has not chosen others. The file
 * is mounted in the container, so it is rewritten in place.
 * @returns what was done, in a few words
 */
export function renewNames(world: World, state: string, id: string): readonly string[] {
  const { directory } = containerPaths(state, id);
  const [own, told] = [`${directory}/resolv.conf`, toldFile(directory)];
  const old = readUndamagedFile(world, told);
  const names = reachableNames(world);
  if (old === undefined || names.nameservers === undefined || readUndamagedFile(world, own) !== old) {
    return [];
  }
  const text = formatResolvConf(names, ` from ${fromHost}`);
  if (text === old) return [];
  world.put(own, text);
  world.write(told, text);
  return [`the host's name servers had changed, and it asks ${names.nameservers.join(", ")}`];
}
