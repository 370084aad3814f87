/** firewalld, a host's firewall that is told by D-Bus what to let pass. */
import type { World } from "./world.ts";

/**
 * Files that exist and are not empty while firewalld runs: systemd's list of its processes in cgroup v1 and v2, and its
 * own pid file for hosts without systemd. Asking for its D-Bus name would take a process.
 */
export const firewalldSigns = [
  "/sys/fs/cgroup/system.slice/firewalld.service/cgroup.procs",
  "/sys/fs/cgroup/systemd/system.slice/firewalld.service/cgroup.procs",
  "/run/firewalld.pid",
];

/** firewalld's process in our network namespace, which it filters then; undefined if there is none. */
export function firewalldHere(world: World): string | undefined {
  const pid = firewalldSigns.map((path) => world.read(path)?.trim().split("\n")[0]).find(Boolean);
  try {
    const isHere = pid !== undefined &&
      world.readLink(`/proc/${pid}/ns/net`) === world.readLink("/proc/self/ns/net");
    return isHere ? pid : undefined;
  } catch {
    // A process that we may not look at is of another user namespace.
    return undefined;
  }
}
