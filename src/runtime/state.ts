import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { isRoot, outerUid } from "./user.ts";

/**
 * Where state lives that is no longer true after a reboot.
 * An ordinary user's is in the runtime directory, found without the environment, which hooks may not have.
 * @throws Error when a directory of that name belongs to somebody else, or others may write into it
 */
export function stateDirectory(world: World): string {
  const said = world.env("OCINET_STATE_DIR");
  const directory = said && !isOfSessionAround(world, said) ? said : defaultDirectory(world);
  if (!directory.startsWith("/")) {
    throw new Error(`Cannot keep state in "${directory}": OCINET_STATE_DIR has to be an absolute path`);
  }
  world.makeDirectory(directory, 0o700);
  checkOwner(world, directory);
  return directory;
}

/** Inside a session state is its own, and goes with it, whatever a bundle was told outside. */
function isOfSessionAround(world: World, directory: string): boolean {
  return outerUid(world) !== 0 && isRoot(world) && world.stat("/run")?.uid === 0 &&
    world.stat(`${directory}/containers/session`) !== undefined;
}

function checkOwner(world: World, directory: string): void {
  const stat = world.stat(directory);
  // A dry run makes none.
  if (stat === undefined) return;
  if (stat.uid !== world.uid) {
    throw new Error(
      `Cannot keep state in ${directory}: it belongs to user ${stat.uid}; remove it, or set OCINET_STATE_DIR`,
    );
  }
  if ((stat.mode & 0o022) !== 0) {
    throw new Error(
      `Cannot keep state in ${directory}: others may write into it; chmod 700 ${directory}`,
    );
  }
}

/**
 * Root of a user namespace with a network of its own has /run only if that came with it; else their containers' state
 * is in their own directory, apart from that of other networks.
 */
function defaultDirectory(world: World): string {
  if (!isRoot(world)) return userDirectory(world);
  if ((world.stat("/run")?.uid ?? 0) === 0) return "/run/ocinet";
  const directory = userDirectory(world);
  world.makeDirectory(directory, 0o700);
  checkOwner(world, directory);
  return innerDirectory(directory, world.stat("/proc/self/ns/net")!.identity);
}

/** Where the state of containers is that were made by root of a user namespace, in a network namespace. */
export function innerDirectory(state: string, identity: string): string {
  return `${state}/netns-${identity.slice(identity.indexOf(":") + 1)}`;
}

/** An ordinary user's. A runtime directory counts only if it is ours: after `su`, the environment names another user's. */
export function userDirectory(world: World): string {
  const uid = outerUid(world);
  const found = [world.env("XDG_RUNTIME_DIR"), `/run/user/${uid}`].find((path) =>
    path?.startsWith("/") && world.stat(path)?.uid === world.uid
  );
  return found === undefined ? `/tmp/ocinet-${uid}` : `${found}/ocinet`;
}

/** Where the user's networks are: also those of one who is root of a user namespace, but not of the machine's /etc. */
export function configDirectory(world: World): string {
  if (isRoot(world) && (world.stat("/etc")?.uid ?? 0) === 0) return "/etc/ocinet";
  return `${world.env("XDG_CONFIG_HOME") || `${world.env("HOME") ?? "/nonexistent"}/.config`}/ocinet`;
}

/** The paths of one container's state. */
export interface ContainerPaths {
  readonly directory: string;
  readonly journal: string;
  readonly lock: string;
}

/** Where a container's journal and files are. @throws Error for an id that could lead elsewhere */
export function containerPaths(state: string, id: string): ContainerPaths {
  const problem = identifierProblem(id);
  if (problem) throw new Error(`Cannot use container id ${JSON.stringify(id)}: ${problem}`);
  const directory = `${state}/containers/${id}`;
  return { directory, journal: `${directory}/journal.json`, lock: `${state}/locks/${id}` };
}
