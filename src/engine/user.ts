import type { World } from "../plan/world.ts";

/**
 * Whether we have power over the host's links: root of the user namespace that owns our network namespace. Rootless
 * podman's hooks are root of another one; there the kernel shows the owner of the network's settings as nobody.
 */
export function isRoot(world: World): boolean {
  if (world.uid !== 0 || world.stat("/proc/sys/net/ipv4/ip_forward")?.uid !== 0) return false;
  return !isRootOfRoot(world) || ownsNetwork(world);
}

/** The user as the host knows them: root of a user namespace of their own is an ordinary user outside. */
export function outerUid(world: World): number {
  if (world.uid !== 0) return world.uid;
  const outer = Number(rootRow(world)?.[1] ?? world.uid);
  return outer === 0 && isRootOfRoot(world) ? uidOfRuntimeDirectory(world) ?? outer : outer;
}

function rootRow(world: World): readonly string[] | undefined {
  return (world.read("/proc/self/uid_map") ?? "").split("\n").map((row) => row.trim().split(/\s+/))
    .find(([inside]) => inside === "0");
}

/** The user namespace that the kernel begins with (PROC_USER_INIT_INO). */
const firstUserNamespace = "user:[4026531837]";

/** Whether owners of files are seen by their own numbers; elsewhere those of the host are shown as nobody. */
export function seesOwners(world: World): boolean {
  return world.readLink("/proc/self/ns/user") === firstUserNamespace;
}

/** Whether root of our user namespace is root of the one around it, too: then owners of files tell nothing of who we are. */
function isRootOfRoot(world: World): boolean {
  const own = world.readLink("/proc/self/ns/user");
  return own !== undefined && own !== firstUserNamespace && rootRow(world)?.[1] === "0";
}

const known = new Map<string, boolean>();

/** Whether the kernel would let us take away a route that nobody has. */
function ownsNetwork(world: World): boolean {
  const here = ["user", "net"].map((kind) => world.readLink(`/proc/self/ns/${kind}`)).join(" ");
  const owns = known.get(here) ??
    !world.ask(["ip", "route", "del", "unreachable", "192.0.2.0/32", "table", "4242424242"])
      .includes("not permitted");
  known.set(here, owns);
  return owns;
}

/** A user namespace in a user namespace is shown no number of outside; but whose directory is ours has it for a name. */
function uidOfRuntimeDirectory(world: World): number | undefined {
  const own = world.list("/run/user").find((name) => world.stat(`/run/user/${name}`)?.uid === 0);
  return own === undefined ? undefined : Number(own);
}
