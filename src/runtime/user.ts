import type { World } from "../plan/world.ts";

/**
 * Whether we have power over the host's links: root of the user namespace that owns our network namespace. Rootless
 * podman's hooks are root of another one; there the kernel shows the owner of the network's settings as nobody.
 */
export function isRoot(world: World): boolean {
  return world.uid === 0 && world.stat("/proc/sys/net/ipv4/ip_forward")?.uid === 0;
}

/** The user as the host knows them: root of a user namespace of their own is an ordinary user outside. */
export function outerUid(world: World): number {
  if (world.uid !== 0) return world.uid;
  const root = (world.read("/proc/self/uid_map") ?? "").split("\n").map((row) => row.trim().split(/\s+/))
    .find(([inside]) => inside === "0");
  return Number(root?.[1] ?? world.uid);
}
