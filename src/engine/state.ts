import { messageOf } from "../wire/cni/error.ts";
import { identifierProblem, sha512 } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { checkDirectory } from "./trusted_path.ts";
import { isRoot, outerUid } from "./user.ts";

/**
 * Where state lives that is no longer true after a reboot.
 * An ordinary user's is in the runtime directory, found without the environment, which hooks may not have.
 * @throws Error when what has that name is no directory, belongs to another user, or others may write into it
 */
export function stateDirectory(world: World): string {
  const said = world.env("OCINET_STATE_DIR");
  const directory = said && !isOfSessionAround(world, said)
    ? said.replace(/(?<=.)\/+$/, "")
    : defaultDirectory(world);
  if (!directory.startsWith("/")) {
    throw new Error(`Cannot keep state in "${directory}": OCINET_STATE_DIR has to be an absolute path`);
  }
  // Of another directory in its place we would take the records for ours, and undo them.
  const above = directory.slice(0, directory.lastIndexOf("/"));
  checkDirectory(world, above, `keep state in ${directory}`, "set OCINET_STATE_DIR to one elsewhere");
  makeOwn(world, directory);
  checkOwner(world, directory);
  return directory;
}

function makeOwn(world: World, directory: string): void {
  try {
    world.makeDirectory(directory, 0o700);
  } catch (error) {
    const stat = world.stat(directory, "itself");
    // What is there and is no directory, checkOwner tells.
    if (stat === undefined) {
      throw new Error(`Cannot keep state in ${directory}: ${messageOf(error)}; set OCINET_STATE_DIR`);
    }
  }
}

/** Inside a session state is its own, and goes with it, whatever a bundle was told outside. */
function isOfSessionAround(world: World, directory: string): boolean {
  return outerUid(world) !== 0 && isRoot(world) && world.stat("/run")?.uid === 0 &&
    world.stat(`${directory}/containers/session`) !== undefined;
}

/** Of a link another user may be the author, who would choose which of the user's directories we take for ours. */
function checkOwner(world: World, directory: string): void {
  const stat = world.stat(directory, "itself");
  // A dry run makes none.
  if (stat === undefined) return;
  if (stat.kind !== "directory") {
    throw new Error(
      `Cannot keep state in ${directory}: it is no directory, and must not be a link to one; ` +
        "remove it, or set OCINET_STATE_DIR",
    );
  }
  if (stat.uid !== world.uid) {
    const remedy = directory === "/run/ocinet" ? "use sudo" : "remove it";
    throw new Error(
      `Cannot keep state in ${directory}: it belongs to user ${stat.uid}; ${remedy}, or set OCINET_STATE_DIR`,
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

/** What runc and crun take for an id, and more: a file's name of the kernel's. */
const runtimeId = /^(?!\.{1,2}$)[^\p{C}/]{1,1024}$/u;

/**
 * The id that we have for a container of an OCI runtime: the same, where it can be a CNI id that leaves room in the names
 * that are made of it; else one that is made of its hash, as for runc's "web+1", "_web" and long ones.
 * @throws Error for what is no file's name, or has control characters: no runtime takes it
 */
export async function idFromRuntime(world: World, state: string, id: string): Promise<string> {
  const isPlain = identifierProblem(id) === undefined;
  // One that is longer may be there from before.
  if (isPlain && (id.length <= 128 || world.stat(`${state}/containers/${id}`) !== undefined)) return id;
  if (!runtimeId.test(id)) {
    throw new Error(
      `Cannot use container id ${JSON.stringify(id)}: it is ".", ".." or longer than 1024 characters, ` +
        'or has "/" or control characters',
    );
  }
  const readable = id.replace(/[^a-zA-Z0-9_.-]/g, "_").slice(0, 40);
  return `id-${readable}-${(await sha512(id)).slice(0, 32)}`;
}

/** The paths of one container's state. */
export interface ContainerPaths {
  readonly directory: string;
  readonly lock: string;
}

/** Where a container's record and files are. @throws Error for an id that could lead elsewhere */
export function containerPaths(state: string, id: string): ContainerPaths {
  const problem = identifierProblem(id);
  if (problem) throw new Error(`Cannot use container id ${JSON.stringify(id)}: ${problem}`);
  const directory = `${state}/containers/${id}`;
  return { directory, lock: `${state}/locks/${id}` };
}

/** All that we keep in the state directory, but for locks, sockets and the state of other networks, by the path there. */
const ownFiles = [
  /^containers\/[^/]+\/(relay\/)?(uplink\.(pid|log|sock)|(relay|inside)\.sock|ready|life|back)$/,
  /^containers\/[^/]+\/(container\.json|journal\.json|[^/ ]+ [^/ ]+ [^/ ]+\.json|pasta\.log|resolv\.conf(\.(told|plain|resolver))?|hosts|hostname|dhcp\/[a-z]+)$/,
  /^networks\/([^/]+\/(lock|last_reserved_ip\.[0-9]+|\.?(empty\.)?[0-9a-f.:-]+)|\.(boots|links)\/.+)$/,
  /^ports\/[a-z]+\/[0-9]+\/(any|4|6) [^/]+$/,
  /^meetings\/[0-9]+\/(input|ready|inside|agent|done|failed)$/,
  /^(drained|names|services)\/[^/]+\/[^/ ]+ [^/ ]+$/,
  /^resolver\/(lock|log|pid|ready|socket)$/,
  /^results\/[^/]+-[^/]+-[^/]+$/,
  /^(hook\.log|pasta\.version)$/,
  // What `write` and `create` had begun.
  /^(.+\/)?\.[^/]+\.[0-9]+\.[0-9]+$/,
];

/**
 * The path of a file that is not ours, where our own would be: any directory may have been given to us as that of state.
 * @param path in the state directory, to what is going to be removed
 */
export function unknownFile(world: World, state: string, path: string): string | undefined {
  const whole = `${state}/${path}`;
  const kind = world.stat(whole, "itself")?.kind;
  if (kind === undefined) return undefined;
  if (kind !== "directory") return ownFiles.some((own) => own.test(path)) ? undefined : whole;
  for (const name of world.list(whole)) {
    const foreign = unknownFile(world, state, `${path}/${name}`);
    if (foreign !== undefined) return foreign;
  }
  return undefined;
}

/**
 * For a container of which nothing is written down, so that what is there may be another program's.
 * @throws Error naming a file that is not ours
 */
export function refuseUnknownFiles(world: World, state: string, id: string): void {
  const foreign = unknownFile(world, state, `containers/${id}`);
  if (foreign === undefined) return;
  throw new Error(
    `Cannot keep state of container "${id}" in ${state}/containers/${id}: ${foreign} is not ours; ` +
      "set OCINET_STATE_DIR to a directory of its own",
  );
}
