import type { World } from "../../plan/world.ts";
import { asRoot, type Check, type Finding, kindOf, ok, userName, warn } from "./finding.ts";

/** What systemd ends, with the uplinks and the state of containers that still run. */
export const systemdChecks: readonly Check[] = [
  { name: "systemd unit", look: (world) => manages(world) ? lookAtUnit(world) : [] },
  { name: "systemd linger", look: (world) => manages(world) ? lookAtLinger(world) : [] },
];

/** Uplinks are rootless containers' only; sd_booted(3) says whether systemd manages the machine. */
function manages(world: World): boolean {
  return kindOf(world) === "rootless" && world.stat("/run/systemd/system")?.kind === "directory";
}

/** A service takes along all that is in its cgroup when it stops; the container may have one of its own. */
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

/** Without it, /run/user/UID goes when the user has logged out, and what is known of their containers is in it. */
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
