import { type Exec, exec } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";

/**
 * Where a cgroup of a command's own can be, below ours, so that our limits hold for it: in the second version's hierarchy,
 * or in the first's for numbers of processes. It is for root, whose commands may leave every namespace that we know of;
 * others' cannot leave their user namespace.
 */
export function cgroupFor(world: World): string | undefined {
  const rows = (world.read("/proc/self/cgroup") ?? "").split("\n").map((row) =>
    /^[0-9]+:(.*?):(.*)$/.exec(row)
  );
  const pathIn = (controllers: string) => rows.find((row) => row?.[1] === controllers)?.[2];
  const parents = [["", ""], ["", "/unified"], ["pids", "/pids"]].flatMap(([controllers, mount]) => {
    const path = pathIn(controllers!);
    return path === undefined ? [] : [`/sys/fs/cgroup${mount}${path}`.replace(/\/$/, "")];
  });
  const parent = parents.find((path) => world.stat(`${path}/cgroup.procs`) !== undefined);
  // Process numbers are those of a PID namespace: two that are number 1 must not end each other's commands.
  return parent && `${parent}/ocinet-run-${world.pid}-${Math.floor(world.random() * 2 ** 40).toString(36)}`;
}

/** Makes it. @returns whether it may be made, which in a container it mostly may not */
export function makeCgroup(world: World, cgroup: string): boolean {
  try {
    world.makeDirectory(cgroup);
    return true;
  } catch {
    return false;
  }
}

/** Ends all that is in the cgroup `$cgroup`, if there is one, and removes it; 0 would be a process that we cannot see. */
export const endCgroup = `[ ! -d "$cgroup" ] || {
  while pids=$(find "$cgroup" -name cgroup.procs -exec grep -hvx 0 {} +); [ "$pids" ]; do kill -KILL $pids; sleep 0.01; done
  for try in 1 2 3 4 5 6 7 8 9; do find "$cgroup" -depth -type d -exec rmdir {} \\; ; [ -d "$cgroup" ] || break; sleep 0.01; done
} 2>/dev/null`;

/** The same, written down. */
export function endingOfCgroup(cgroup: string): Exec {
  return exec("host", "end the cgroup", {
    onError: "ignore",
    undo: ["sh", "-c", `cgroup=$0; ${endCgroup}`, cgroup],
  });
}
