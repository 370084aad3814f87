import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import {
  isHostsOwn,
  reachableServers,
  resolvConf,
  resolversOf,
  serversIn,
} from "../../engine/name_servers.ts";
import { hidesProcesses } from "../../engine/process.ts";
import { stateDirectory } from "../../engine/state.ts";
import { asRoot, type Check, type Finding, kindOf, lack, ok, userName, warn } from "./finding.ts";
import { isOlder, versionOf } from "./programs.ts";
import { findBest, whyNamesAreLost } from "./uplinks.ts";

/** Checks of files and directories. */
export const fileChecks: readonly Check[] = [
  { name: "/dev/net/tun", look: lookAtTun },
  { name: "/etc/subuid", look: (world) => lookAtSubIds(world, "uid") },
  { name: "/etc/subgid", look: (world) => lookAtSubIds(world, "gid") },
  { name: resolvConf, look: lookAtResolvConf },
  { name: "state directory", look: lookAtState },
  { name: "cgroups", look: lookAtCgroups },
  { name: "/proc", look: lookAtProc },
];

/** What is hidden cannot be told from what is gone, and of a container of crun's its init is hidden. */
function lookAtProc(world: World): readonly Finding[] {
  if (kindOf(world) === "root" || !hidesProcesses(world)) return [];
  const remedy = asRoot(
    world,
    "mount -o remount,hidepid=0 /proc; or with gid= of a group that you are in",
  );
  return warn(
    "/proc",
    "hides processes of others (hidepid); rootless crun's containers cannot be connected",
    remedy,
  );
}

const tun = "/dev/net/tun";

/** Checks the tun device, which pasta and slirp4netns need, and root's service does not. */
async function lookAtTun(world: World): Promise<readonly Finding[]> {
  const [found, remedy] = await tunProblem(world) ?? [];
  if (found === undefined) return ok(tun, "can be opened, and makes links");
  const best = await findBest(world);
  return best === "helper"
    ? warn(tun, `${found}; ${best} does without it`, asRoot(world, remedy!))
    : lack(world, "rootless", { name: tun, found, remedy: asRoot(world, remedy!) });
}

const makeTun = `mknod -m 666 ${tun} c 10 200`;

/** The problem, and the command that fixes it. */
async function tunProblem(world: World): Promise<readonly [string, string] | undefined> {
  const stat = world.stat(tun);
  if (!stat) return ["not there", `modprobe tun; mkdir -p /dev/net; ${makeTun}`];
  const { code, stderr } = await world.run(["sh", "-c", `exec 3<>${tun}`], { timeout: 5000 });
  const reason = stderr.trim().split(": ").at(-1) ?? "";
  if (code !== 0) {
    const remedy = /denied/.test(reason) ? `chmod 666 ${tun}` : `modprobe tun; rm -f ${tun}; ${makeTun}`;
    return [`cannot be opened (${reason})`, remedy];
  }
  if (kindOf(world) === "root" && (stat.mode & 0o006) !== 0o006) {
    return ["can be opened by root only", `chmod 666 ${tun}`];
  }
  const said = await tryTun(world);
  return said === "" ? undefined : [
    `can be opened, and makes no link (${said})`,
    `modprobe tun; rm -f ${tun}; ${makeTun}`,
  ];
}

/** The kernel's error when a tun link is made in a new network namespace; "" if it cannot be tried. */
async function tryTun(world: World): Promise<string> {
  if (!findProgram(world, "unshare") || !findProgram(world, "ip")) return "";
  const own = kindOf(world) === "root" ? [] : ["--user", "--map-root-user"];
  const script = "ip link set dev lo up || exit 0; ip tuntap add dev t0 mode tap";
  const { code, stderr } = await world.run(["unshare", ...own, "--net", "sh", "-c", script], {
    timeout: 5000,
  });
  // Other checks report whether namespaces can be made.
  return code === 0 || stderr.startsWith("unshare:") ? "" : stderr.trim();
}

/** The number of subordinate ids that are enough for the users in common images. */
const enough = 65_536;

function lookAtSubIds(world: World, which: "uid" | "gid"): readonly Finding[] {
  if (kindOf(world) === "root") return [];
  const name = `/etc/sub${which}`;
  const user = userName(world);
  const rows = (world.read(name) ?? "").split("\n").map((row) => row.trim().split(":"));
  const ranges = rows.filter((row) => row.length === 3).map(([owner, from, count]) => ({
    owner,
    from: Number(from),
    count: Number(count),
  }));
  const own = ranges.filter(({ owner }) => owner === user || owner === String(world.uid));
  const total = own.reduce((sum, { count }) => sum + count, 0);
  if (total >= enough) return ok(name, own.map(({ from, count }) => `${count} from ${from}`).join(", "));
  const from = ranges.reduce((end, range) => Math.max(end, range.from + range.count), 100_000);
  const command = user === undefined || !findProgram(world, "usermod")
    ? `echo ${user ?? world.uid}:${from}:${enough} >>${name}`
    : `usermod --add-sub${which}s ${from}-${from + enough - 1} ${user}`;
  return warn(
    name,
    `${total} ids for ${
      user ?? `user ${world.uid}`
    }, of ${enough} that images use; rootless containers with more than one user need them`,
    asRoot(world, command),
  );
}

/**
 * Checks resolv.conf for a server on the host's loopback. slirp4netns and pasta forward queries to it. Root's
 * containers, and those connected by root's service, cannot reach it.
 */
async function lookAtResolvConf(world: World): Promise<readonly Finding[]> {
  const servers = serversIn(world, resolvConf);
  if (servers.length === 0 && world.stat(resolvConf) === undefined) {
    const write = `rm -f ${resolvConf}; echo nameserver 9.9.9.9 >${resolvConf}`;
    return warn(resolvConf, "leads to no file", asRoot(world, write));
  }
  if (servers.length === 0) {
    return warn(resolvConf, "names no server", "give containers one with --dns, such as --dns 9.9.9.9");
  }
  if (kindOf(world) === "rootless") {
    const lost = await whyNamesAreLost(world);
    if (lost === undefined) return ok(resolvConf, servers.join(", "));
    const { stray } = resolversOf(world);
    const remedy = stray === undefined
      ? "give containers others: --dns 9.9.9.9"
      : asRoot(world, `cp --remove-destination "$(readlink -f ${resolvConf})" ${resolvConf}`);
    return warn(resolvConf, `no names are found by uplink ${lost}`, remedy);
  }
  const others = reachableServers(world);
  if (!isHostsOwn(servers[0]!)) return ok(resolvConf, servers.join(", "));
  return warn(
    resolvConf,
    `${servers[0]} is this machine itself, which a container cannot reach`,
    `give containers other servers, not --dns=host: --dns ${others.join(",") || "9.9.9.9"}`,
  );
}

/** The state directory of an ordinary user without a runtime directory. It stays after a reboot. */
const makeshift = /^\/tmp\/ocinet-[0-9]+$/;

/** The longest path of a unix socket, and the shortest suffix that we add to the state directory, in characters. */
const [longest, behind] = [107, "/s-0123456789abcdef"];

function lookAtState(world: World): readonly Finding[] {
  const name = "state directory";
  const path = statePath(world);
  const [needs, problem] = stateProblem(world, path);
  if (problem) return lack(world, needs, { name, found: problem, remedy: stateRemedy(world, path) });
  const bare = statePath({ ...world, env: () => undefined });
  if (bare !== path) {
    return warn(
      name,
      `${path} by your environment; a hook that runs without it, as some engines do, looks in ${bare}`,
      `${unset(world)}; or see that the hooks' env in config.json has them`,
    );
  }
  if (!makeshift.test(path)) return ok(name, world.stat(path) ? path : `${path}, made when first needed`);
  const { uid } = world;
  return warn(
    name,
    `${path}, as you have no /run/user/${uid}; many systems clear /tmp of old files, of running containers' too`,
    `log in by ssh or at a console, not by su; or ${
      asRoot(world, `install -d -m 700 -o ${uid} /run/user/${uid}`)
    }`,
  );
}

/** The command that sets the state directory for programs without an environment. */
function unset(world: World): string {
  const said = ["OCINET_STATE_DIR", "XDG_RUNTIME_DIR"].filter((name) => world.env(name) !== undefined);
  return `unset ${said.join(" ")}`;
}

function stateProblem(world: World, path: string): readonly ["both" | "rootless", string?] {
  if (!path.startsWith("/")) return ["both", `"${path}" is not an absolute path`];
  if (path.length + behind.length > longest) {
    return ["rootless", `${path} is too long: a socket's path in it has more than ${longest} bytes`];
  }
  const stat = world.stat(path);
  if (!stat) return ["both"];
  if (stat.kind !== "directory") return ["both", `${path} is no directory`];
  if (stat.uid === world.uid && (stat.mode & 0o022) === 0) return ["both"];
  const mode = stat.mode.toString(8).padStart(4, "0");
  return ["both", `${path} is of user ${stat.uid}, mode ${mode}; it has to be yours alone to write`];
}

function stateRemedy(world: World, path: string): string {
  const stat = world.stat(path);
  const tooLong = path.length + behind.length > longest;
  if (!tooLong && stat?.kind === "directory" && stat.uid === world.uid) return `chmod go-w ${path}`;
  // If the user chose a path, the remedy is to change it; otherwise to make our default usable.
  const chosen = tooLong || !path.startsWith("/") || world.env("OCINET_STATE_DIR");
  return chosen
    ? `${unset(world)}; or export OCINET_STATE_DIR=PATH, an absolute path to a directory of your own`
    : asRoot(world, `mv ${path} ${path}.old`);
}

/** The path of the state directory, found without creating it. */
export function statePath(world: World): string {
  let path = world.env("OCINET_STATE_DIR") ?? "";
  const makeDirectory = (made: string) => {
    path = made;
  };
  try {
    stateDirectory({ ...world, makeDirectory });
  } catch { /* Its finding reports the problem. */ }
  return path;
}

/** crun up to 1.8 does not start containers if both cgroup versions are mounted. */
async function lookAtCgroups(world: World): Promise<readonly Finding[]> {
  const rows = (world.read("/proc/self/mounts") ?? "").split("\n").map((row) => row.split(" "));
  const has = (type: string) => rows.some((row) => row[2] === type);
  const kind = has("cgroup2")
    ? (has("cgroup") ? "hybrid" : "version 2")
    : has("cgroup")
    ? "version 1"
    : "none";
  const crun = findProgram(world, "crun");
  const version = kind === "hybrid" && crun ? await versionOf(world, [crun, "--version"]) : undefined;
  if (version === undefined || !isOlder(version, "1.9")) return ok("cgroups", kind);
  return warn(
    "cgroups",
    `${kind}, which crun ${version} refuses`,
    "use runc, or a crun from 1.9 on, such as Debian 13's, or boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
  );
}
