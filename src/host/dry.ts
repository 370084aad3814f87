import { typedLines } from "../plan/batch.ts";
import type { Actions, Output, World } from "../plan/world.ts";

/**
 * A World that changes nothing: changes are printed instead. A program's input is printed line by line, which for `ip`
 * and `nft` are exactly the lines that they would get.
 */
export function dryWorld(world: World, tell: (line: string) => void): World {
  const ended: string[] = [];
  const actions: Actions = {
    write: () => {},
    create: () => true,
    put: (path, text) => {
      const key = path.startsWith("/proc/sys/") ? path.slice(10) : path;
      tell(`sysctl -w ${key}=${text}`);
    },
    append: () => {},
    symlink: () => {},
    makeDirectory: () => {},
    remove: () => {},
    removeEmpty: () => {},
    lock: () => Promise.resolve(() => {}),
    share: () => Promise.resolve(() => {}),
    tryOwn: (path) => Promise.resolve(isLocked(world, path) ? undefined : () => {}),
    tryLock: (path) => Promise.resolve(isLocked(world, path) ? undefined : () => {}),
    signal: (pid, name) => {
      tell(`kill -${name} ${pid}`);
      const pids = pid > 0 ? [pid] : membersOf(world, -pid);
      ended.push(...pids.map((pid) => `/proc/${pid}/`));
      return true;
    },
    request: (socket, text, options = {}) => {
      if (options.looks) return world.request(socket, text, options);
      tell(`${socket} <- ${text}`);
      return Promise.resolve('{"return":{}}');
    },
    http: () => Promise.reject(new Error("a dry run sends no requests")),
    serveHttp: notDry,
    listen: notDry,
    watch: notDry,
    prepare: () => () => {},
    hold: notDry,
    start: notDry,
    run: async (argv, options = {}) => {
      if (options.looks) return await world.run(argv, options);
      const problem = await ruleProblem(world, argv, options.stdin);
      if (problem) return problem;
      const { shows, says = "" } = options.dry ?? {};
      (shows === undefined ? typedLines(argv, options.stdin) : [shows]).forEach(tell);
      return { code: 0, stdout: says, stderr: "" };
    },
  };
  const read = (path: string) =>
    ended.some((process) => path.startsWith(process)) ? undefined : world.read(path);
  return { ...world, read, ...actions };
}

/** What no command does that has --dry-run. */
function notDry(): never {
  throw new Error("a dry run starts no service and no program that stays");
}

/**
 * nft's answer to rules in a dry run. If our table does not exist, the answer says so, and the caller makes the table
 * first. Rules of a container cannot be checked: their table does not exist yet.
 */
async function ruleProblem(
  world: World,
  argv: readonly string[],
  stdin: string | undefined,
): Promise<Output | undefined> {
  if (argv.join(" ") !== "nft -f -") return undefined;
  const checked = await world.run(["nft", "--check", "-f", "-"], { stdin: stdin ?? "" });
  return checked.stderr.includes("No such file or directory") ? checked : undefined;
}

/** The processes of a group, which is the fifth field of /proc/PID/stat. The second field may contain blanks. */
function membersOf(world: World, group: number): readonly string[] {
  return world.list("/proc").filter((name) => {
    const stat = /^[0-9]+$/.test(name) ? world.read(`/proc/${name}/stat`) ?? "" : "";
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2] === String(group);
  });
}

/** Whether a process has the lock. It is read from the kernel's list, because trying would create the file. */
function isLocked(world: World, path: string): boolean {
  const inode = world.stat(path)?.identity.split(":")[1];
  const locks = (world.read("/proc/locks") ?? "").split("\n").map((row) => row.trim().split(/\s+/));
  return locks.some(([, kind, , , , file]) => kind === "FLOCK" && file?.split(":")[2] === inode);
}
