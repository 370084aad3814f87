import { parseResolvConf } from "../../net/resolv_conf.ts";
import { findProgram, type World } from "../../plan/world.ts";
import { stateDirectory } from "../state.ts";
import { asRoot, type Check, type Finding, kindOf, lack, ok, warn } from "./finding.ts";
import { isOlder, versionOf } from "./programs.ts";

/** Files and directories that have to be as we need them. */
export const fileChecks: readonly Check[] = [
  { name: "/dev/net/tun", look: lookAtTun },
  { name: "/etc/subuid", look: (world) => lookAtSubIds(world, "uid") },
  { name: "/etc/subgid", look: (world) => lookAtSubIds(world, "gid") },
  { name: "/etc/resolv.conf", look: lookAtResolvConf },
  { name: "state directory", look: lookAtState },
  { name: "cgroups", look: lookAtCgroups },
];

const tun = "/dev/net/tun";

async function lookAtTun(world: World): Promise<readonly Finding[]> {
  const needs = "rootless";
  const stat = world.stat(tun);
  if (!stat) {
    const remedy = asRoot(world, `modprobe tun; mkdir -p /dev/net; mknod -m 666 ${tun} c 10 200`);
    return lack(world, needs, { name: tun, found: "not there", remedy });
  }
  const remedy = asRoot(world, `chmod 666 ${tun}`);
  const { code, stderr } = await world.run(["sh", "-c", `exec 3<>${tun}`], { timeout: 5000 });
  if (code !== 0) {
    const reason = stderr.trim().split(": ").at(-1) ?? "";
    const found = `cannot be opened (${reason})`;
    return lack(world, needs, {
      name: tun,
      found,
      remedy: /denied/.test(reason) ? remedy : asRoot(world, "modprobe tun"),
    });
  }
  const shut = kindOf(world) === "root" && (stat.mode & 0o006) !== 0o006;
  return shut
    ? lack(world, needs, { name: tun, found: "can be opened by root only", remedy })
    : ok(tun, "can be opened");
}

/** How many ids a container can have beside its root; what images commonly use fits into as many. */
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
  return lack(world, "rootless", {
    name,
    found: `${total} ids for ${
      user ?? `user ${world.uid}`
    }; rootless containers with more than one user need ${enough}`,
    remedy: user === undefined
      ? asRoot(world, `echo ${world.uid}:${from}:${enough} >>${name}`)
      : asRoot(world, `usermod --add-sub${which}s ${from}-${from + enough - 1} ${user}`),
  });
}

function userName(world: World): string | undefined {
  const rows = (world.read("/etc/passwd") ?? "").split("\n").map((row) => row.split(":"));
  return rows.find((row) => row[2] === String(world.uid))?.[0];
}

const resolv = "/etc/resolv.conf";
const resolvedServers = "/run/systemd/resolve/resolv.conf";

/** slirp4netns passes questions on to a server on the host's loopback; a container of root cannot reach one. */
function lookAtResolvConf(world: World): readonly Finding[] {
  const strayed = kindOf(world) === "rootless" && strays(linkTarget(world, resolv));
  if (strayed) {
    return lack(world, "rootless", {
      name: resolv,
      found: `a link to ${linkTarget(world, resolv)}, which slirp4netns's sandbox does not see`,
      remedy: asRoot(world, `cp --remove-destination "$(readlink -f ${resolv})" ${resolv}`),
    });
  }
  const servers = serversOf(world, resolv);
  if (servers.length === 0) {
    return warn(resolv, "names no server", "give containers one with --dns, such as --dns 9.9.9.9");
  }
  if (kindOf(world) === "rootless" || !isLoopback(servers[0]!)) return ok(resolv, servers.join(", "));
  const others = [...servers, ...serversOf(world, resolvedServers)].filter((server) => !isLoopback(server));
  const [, ...rest] = [...new Set(["", ...others])];
  return warn(
    resolv,
    `${servers[0]} is this machine itself, which a container cannot reach`,
    `give containers other servers, not --dns=host: --dns ${rest.join(",") || "9.9.9.9"}`,
  );
}

function serversOf(world: World, path: string): readonly string[] {
  return parseResolvConf(world.read(path) ?? "").nameservers ?? [];
}

function isLoopback(server: string): boolean {
  return server.startsWith("127.") || server === "::1";
}

function linkTarget(world: World, path: string): string | undefined {
  try {
    const target = world.readLink(path);
    return target === undefined ? undefined : new URL(target, `file://${path}`).pathname;
  } catch {
    // It is a file.
    return undefined;
  }
}

function strays(target: string | undefined): boolean {
  return target !== undefined && !/^\/(etc|run|var\/run)\//.test(target);
}

/** Longest path of a unix socket, and what we put behind the state directory at least. */
const [longest, behind] = [107, "/s-0123456789abcdef"];

const ownPlace = "export OCINET_STATE_DIR=PATH, with the absolute path of a directory of your own";

function lookAtState(world: World): readonly Finding[] {
  const name = "state directory";
  const path = statePath(world);
  const [needs, problem] = stateProblem(world, path);
  if (problem) return lack(world, needs, { name, found: problem, remedy: stateRemedy(world, path) });
  const bare = statePath({ ...world, env: () => undefined });
  if (bare === path) return ok(name, world.stat(path) ? path : `${path}, made when first needed`);
  return warn(
    name,
    `${path} by your environment; a hook that runs without it, as some engines do, looks in ${bare}`,
    "unset OCINET_STATE_DIR XDG_RUNTIME_DIR, or see that the hooks' env in config.json has them",
  );
}

function stateProblem(world: World, path: string): readonly ["both" | "rootless", string?] {
  if (!path.startsWith("/")) return ["both", `"${path}" is not an absolute path`];
  if (path.length + behind.length > longest) {
    return ["rootless", `${path} is too long: a socket's path in it has more than ${longest} bytes`];
  }
  const stat = world.stat(path);
  if (!stat || (stat.uid === world.uid && (stat.mode & 0o022) === 0)) return ["both"];
  const mode = stat.mode.toString(8).padStart(4, "0");
  return ["both", `${path} is of user ${stat.uid}, mode ${mode}; it has to be yours alone to write`];
}

function stateRemedy(world: World, path: string): string {
  if (world.stat(path)?.uid === world.uid) return `chmod go-w ${path}`;
  // A path that somebody chose may be somebody's; ours is in nobody's way.
  const chosen = !path.startsWith("/") || path.length + behind.length > longest ||
    world.env("OCINET_STATE_DIR");
  return chosen ? ownPlace : asRoot(world, `mv ${path} ${path}.old`);
}

/** Where the state would be, in a world that makes nothing. */
function statePath(world: World): string {
  let path = world.env("OCINET_STATE_DIR") ?? "";
  const makeDirectory = (made: string) => {
    path = made;
  };
  try {
    stateDirectory({ ...world, makeDirectory });
  } catch { /* What is wrong with the place, its finding says. */ }
  return path;
}

/** crun up to 1.8 does not start a container where both versions of cgroups are mounted. */
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
    "use runc, or boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
  );
}
