import { reachableNames } from "../../engine/name_servers.ts";
import { containerPaths } from "../../engine/state.ts";
import { formatResolvConf, type ResolvConf } from "../../net/resolv_conf.ts";
import type { World } from "../../plan/world.ts";

/** Of whom the text says that it is, when it is the host's name servers that a container is told. */
export const fromHost = "the host";

/** Whether names that somebody was told are the host's, and nobody else's. */
export function areHosts(world: World, names: ResolvConf): boolean {
  return JSON.stringify(names) === JSON.stringify(reachableNames(world));
}

/** The text of the container's file as it was told of the host's name servers last: it may have written into its own since. */
export function toldFile(directory: string): string {
  return `${directory}/resolv.conf.told`;
}

/**
 * Tells a container the host's name servers again, if they have changed since, and it has not chosen others itself. The
 * file is mounted in the container: it is written into, not replaced.
 * @returns what was done, in a few words
 */
export function renewNames(world: World, state: string, id: string): readonly string[] {
  const { directory } = containerPaths(state, id);
  const [own, told] = [`${directory}/resolv.conf`, toldFile(directory)];
  const old = world.read(told);
  const names = reachableNames(world);
  if (old === undefined || names.nameservers === undefined || world.read(own) !== old) return [];
  const text = formatResolvConf(names, ` from ${fromHost}`);
  if (text === old) return [];
  world.put(own, text);
  world.write(told, text);
  return [`the host's name servers had changed, and it asks ${names.nameservers.join(", ")}`];
}
