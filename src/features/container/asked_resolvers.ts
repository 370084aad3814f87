import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { formatResolvConf, parseResolvConf } from "../../net/resolv_conf.ts";

/** The most of a resolv.conf that is read: a container may write what it likes into its own. */
const most = 1 << 16;
/** The most servers that libc asks (resolv.conf(5)). */
const mostServers = 3;

/**
 * Has a container ask the resolvers of its networks, or if there are none, whom it would ask without them. The file is
 * mounted in the container, so it is written in place; one that the container has changed stays as it is.
 * @param directory that of the container's state
 */
export function askResolvers(world: World, directory: string, resolvers: readonly string[]): void {
  const [own, plain, last] = ["", ".plain", ".resolver"].map((end) => `${directory}/resolv.conf${end}`) as [
    string,
    string,
    string,
  ];
  const now = world.readStart(own, most);
  const [before, written] = [readUndamagedFile(world, plain), readUndamagedFile(world, last)];
  if (now === undefined || written !== undefined && now !== written) return;
  if (resolvers.length === 0) {
    if (before === undefined) return;
    world.put(own, before);
    [plain, last].forEach((path) => world.remove(path));
    return;
  }
  const text = withResolvers(before ?? now, resolvers);
  if (text === now) return;
  if (before === undefined) world.write(plain, now);
  world.write(last, text);
  world.put(own, text);
}

/**
 * The same file with other servers. A name without a dot is asked as it is first, and not below the search domains, for it
 * is a neighbour's; who says otherwise is obeyed.
 */
export function withResolvers(text: string, resolvers: readonly string[]): string {
  const { options = [], ...rest } = parseResolvConf(text);
  const hasDots = options.some((option) => option.startsWith("ndots:"));
  return formatResolvConf({
    ...rest,
    nameservers: resolvers.slice(0, mostServers),
    options: hasDots ? options : [...options, "ndots:0"],
  }, " for the resolver of its networks");
}
