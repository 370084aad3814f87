import type { World } from "../../plan/world.ts";
import { asRoot, type Check, type Finding, kindOf, ok, userName, warn } from "./finding.ts";

/** Checks for cases in which systemd ends uplinks, or removes the state, of running containers. */
export const systemdChecks: readonly Check[] = [
  { name: "systemd unit", look: (world) => manages(world) ? lookAtUnit(world) : [] },
  { name: "systemd linger", look: (world) => manages(world) ? lookAtLinger(world) : [] },
];

/** Whether systemd manages the machine (sd_booted(3)). Only rootless containers have uplinks. */
function manages(world: World): boolean {
  return kindOf(world) === "rootless" && world.stat("/run/systemd/system")?.kind === "directory";
}

/**
 * Stopping a service ends all processes in its cgroup, including uplinks; the container may have a cgroup of its own.
 */
function lookAtUnit(world: World): readonly Finding[] {
  const name = "systemd unit";
  const rows = (world.read("/proc/self/cgroup") ?? "").trim().split("\n");
  const unit = rows.map((row) => /\/([^/]+\.service)(\/[^/]*)?$/.exec(row)?.[1])
    .find((found) => found !== undefined && !/^user@[0-9]+\.service$/.test(found));
  if (unit === undefined) return ok(name, "none that takes uplinks along");
  return warn(
    name,
    `this is ${unit}; when that stops, the uplinks end that were started in it, before their containers`,
    "start containers by systemd-run --user --scope COMMAND, or set KillMode=process in the unit",
  );
}

/** Without lingering, /run/user/UID, which has the records of containers, is removed when the user has logged out. */
function lookAtLinger(world: World): readonly Finding[] {
  const { uid } = world;
  const name = "systemd linger";
  const user = userName(world);
  if (user === undefined || world.stat(`/run/user/${uid}`)?.uid !== uid) return [];
  if (world.stat(`/var/lib/systemd/linger/${user}`)) {
    return ok(name, "your containers may outlive your login");
  }
  return warn(
    name,
    `no; when you have logged out, systemd removes /run/user/${uid}, and with it what is known of your containers`,
    asRoot(world, `loginctl enable-linger ${user}`),
  );
}
