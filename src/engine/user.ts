import type { World } from "../plan/world.ts";

/**
 * Whether we have privileges over the host's links: we are root of the user namespace that owns our network namespace.
 * Rootless podman runs hooks as root of another user namespace. There the kernel shows the owner of the network's
 * sysctls as the overflow user.
 */
export function isRoot(world: World): boolean {
  if (world.uid !== 0 || world.stat("/proc/sys/net/ipv4/ip_forward")?.uid !== 0) return false;
  return !isRootOfRoot(world) || ownsNetwork(world);
}

/** The user's number on the host. Root of another user namespace is an ordinary user there. */
export function outerUid(world: World): number {
  if (world.uid !== 0) return world.uid;
  const outer = Number(rootRow(world)?.[1] ?? world.uid);
  return outer === 0 && isRootOfRoot(world) ? uidOfRuntimeDirectory(world) ?? outer : outer;
}

function rootRow(world: World): readonly string[] | undefined {
  return (world.read("/proc/self/uid_map") ?? "").split("\n").map((row) => row.trim().split(/\s+/))
    .find(([inside]) => inside === "0");
}

/** The initial user namespace (PROC_USER_INIT_INO). */
const firstUserNamespace = "user:[4026531837]";

/**
 * Whether file owners are shown by their own numbers. In another user namespace, unmapped owners are shown as the
 * overflow user.
 */
export function seesOwners(world: World): boolean {
  return world.readLink("/proc/self/ns/user") === firstUserNamespace;
}

/**
 * Whether root of our user namespace is also root of the parent one. Then file owners do not tell which user we are.
 */
function isRootOfRoot(world: World): boolean {
  const own = world.readLink("/proc/self/ns/user");
  return own !== undefined && own !== firstUserNamespace && rootRow(world)?.[1] === "0";
}

const known = new Map<string, boolean>();

/** Whether we may change routes: the kernel checks the permission before it finds that this route does not exist. */
function ownsNetwork(world: World): boolean {
  const here = ["user", "net"].map((kind) => world.readLink(`/proc/self/ns/${kind}`)).join(" ");
  const owns = known.get(here) ??
    !world.ask(["ip", "route", "del", "unreachable", "192.0.2.0/32", "table", "4242424242"])
      .includes("not permitted");
  known.set(here, owns);
  return owns;
}

/**
 * The user's number from the name of a runtime directory that we own. A nested user namespace does not show outer
 * numbers.
 */
function uidOfRuntimeDirectory(world: World): number | undefined {
  const own = world.list("/run/user").find((name) => world.stat(`/run/user/${name}`)?.uid === 0);
  return own === undefined ? undefined : Number(own);
}
