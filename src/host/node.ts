import type * as ChildProcess from "node:child_process";
import type * as Fs from "node:fs";
import type * as Net from "node:net";
import type * as Os from "node:os";
import type * as Tty from "node:tty";
import {
  type Held,
  holdPatience,
  type ListenAt,
  type Listening,
  needProgram,
  noAnswer,
  notReady,
  type Output,
  type Owner,
  type Patience,
  type Pinned,
  type RequestOptions,
  type RunOptions,
  searchPath,
  type Serve,
  type Stat,
  temporaryName,
  tookTooLong,
  type Unheard,
  usualLimit,
  usualPatience,
  type Watched,
  type World,
} from "../plan/world.ts";
import { http, serveHttp } from "./http.ts";
import { lockFailed, tellWait } from "./lock.ts";
import { bytesOfText, streamNames, writeAll } from "./output.ts";
import { oneLine } from "../wire/cni/output.ts";

/** Node's modules, loaded when first wanted: Deno reads this file too, and must not pay for them. */
export function builtin<T>(name: string): T {
  return process.getBuiltinModule(name as "node:fs") as T;
}

/** Has SIGUSR1 do nothing, where Node otherwise says why it cannot listen for a debugger (src/launcher.sh). */
export function ignoreDebugger(): void {
  process.on("SIGUSR1", () => {});
}

/** Sets the mask for new files' modes. @returns the one before */
export function setUmask(mask: number): number {
  return process.umask(mask);
}

/** Deno 2.0 has no such function, and makes one only while nobody is waiting for it. */
export async function provideBuiltins(): Promise<void> {
  const global: { getBuiltinModule?: typeof process.getBuiltinModule } = process;
  if (global.getBuiltinModule) return;
  // Not a name that the bundle would resolve.
  const name = "node:module";
  const { createRequire } = await import(name) as {
    createRequire(path: string): typeof process.getBuiltinModule;
  };
  global.getBuiltinModule = createRequire("/");
}

/** The world through Node's API. */
export function nodeWorld(): World {
  const fs = builtin<typeof Fs>("node:fs");
  // src/launcher.sh says why.
  const self = [process.execPath, "--inspect-port=[ff02::1]:9229", fs.realpathSync(process.argv[1]!)];
  const world: World = {
    runtime: "node",
    pid: process.pid,
    uid: process.getuid!(),
    runtimePath: process.execPath,
    self,
    // Its permissions do not reach as far as sockets.
    confined: () => self,

    env: (name) => process.env[name],
    environment: () => ({ ...process.env }) as Record<string, string>,

    read: (path) => orUndefined(() => fs.readFileSync(path, "utf8")),
    readBytes: (path) => orUndefined(() => fs.readFileSync(path, "latin1")),
    readStart: (path, bytes) => orUndefined(() => readStart(path, bytes)),
    list: (path) => orUndefined(() => fs.readdirSync(path)) ?? [],
    stat: (path, link) => orUndefined(() => toStat(link ? fs.lstatSync(path) : fs.statSync(path))),
    readLink: (path) => orUndefined(() => fs.readlinkSync(path)),
    pin,

    write: (path, text, mode = 0o600, owner) => {
      const temporary = writeTemporary(path, text, mode, owner);
      try {
        fs.renameSync(temporary, path);
      } catch (error) {
        fs.rmSync(temporary, { force: true });
        throw error;
      }
    },
    create: (path, text, mode = 0o600) => {
      const temporary = writeTemporary(path, text, mode);
      try {
        fs.linkSync(temporary, path);
        return true;
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        throw error;
      } finally {
        fs.unlinkSync(temporary);
      }
    },
    put: (path, text) => {
      const { O_WRONLY, O_TRUNC } = fs.constants;
      const fd = fs.openSync(path, O_WRONLY | O_TRUNC);
      try {
        fs.writeFileSync(fd, text);
      } finally {
        fs.closeSync(fd);
      }
    },
    symlink: (target, path) => fs.symlinkSync(target, path),
    makeDirectory,
    remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
    removeEmpty: (path) => {
      try {
        fs.rmdirSync(path);
      } catch { /* It is not there, or not empty: both are fine. */ }
    },

    warn: (line) => tell(`ocinet: ${oneLine(line)}\n`),
    lock: async (path) => (await lock(path, ["-x"]))!,
    tryLock: (path) => lock(path, ["-x", "-n"]),
    share: async (directory) =>
      (await tellWait(world, directory, flock(fs.openSync(directory, "r"), ["-s"]), tell))!,
    tryOwn: (directory) => flock(fs.openSync(directory, "r"), ["-x", "-n"]),

    run: (argv, options) => run(world, argv, options),
    ask: ([program, ...args]) =>
      builtin<typeof ChildProcess>("node:child_process").spawnSync(needProgram(world, program!), args, {
        env: cleanEnvironment(world),
        encoding: "utf8",
      }).stderr,
    request,
    http,
    serveHttp,
    listen,
    watch: (argv, tell) => watch(world, argv, tell),
    canListen: (host, port) =>
      new Promise((resolve) => {
        const server = builtin<typeof Net>("node:net").createServer();
        server.on("error", (error) => resolve(codeOf(error) !== "EADDRINUSE"));
        server.listen({ host, port, ipv6Only: host.includes(":") }, () => server.close(() => resolve(true)));
      }),
    hasAddress: (host) =>
      new Promise((resolve) => {
        const server = builtin<typeof Net>("node:net").createServer();
        server.on("error", () => resolve(false));
        server.listen(
          { host, port: 0, ipv6Only: host.includes(":") },
          () => server.close(() => resolve(true)),
        );
      }),
    exists: (pid) => {
      try {
        return process.kill(pid, 0);
      } catch (error) {
        return codeOf(error) !== "ESRCH";
      }
    },
    signal: (pid, name) => {
      try {
        process.kill(pid, name);
        return true;
      } catch {
        return false;
      }
    },

    hold: (argv) => hold(world, argv),
    start: ([program, ...args], env) => {
      const child = builtin<typeof ChildProcess>("node:child_process").spawn(
        needProgram(world, program!),
        args,
        { env: { ...env }, stdio: "inherit" },
      );
      const { signals } = builtin<typeof Os>("node:os").constants;
      const ended = new Promise<number>((resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (code, signal) => resolve(code ?? 128 + signals[signal!]));
      });
      return { pid: child.pid!, ended };
    },
    onSignals: (names, tell) => names.forEach((name) => process.on(name, () => tell(name))),
  };
  return world;

  async function lock(path: string, how: readonly string[]): Promise<(() => void) | undefined> {
    while (true) {
      const fd = orUndefined(() => fs.openSync(path, "a", 0o600));
      if (fd === undefined) {
        makeDirectory(path.slice(0, path.lastIndexOf("/")));
        continue;
      }
      const unlock = await tellWait(world, path, flock(fd, how), tell);
      if (!unlock) return undefined;
      // Whoever had it may have removed the name while we waited; then the lock on this inode is worth nothing.
      if (orUndefined(() => fs.statSync(path))?.ino === fs.fstatSync(fd).ino) {
        return () => {
          fs.unlinkSync(path);
          unlock();
        };
      }
      unlock();
    }
  }

  /** Node cannot flock(2): util-linux's flock locks our own open file for us, and the lock stays with it. */
  function flock(fd: number, how: readonly string[]): Promise<(() => void) | undefined> {
    const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
    return new Promise((resolve, reject) => {
      const child = builtin<typeof ChildProcess>("node:child_process").spawn(
        needProgram(world, "flock"),
        [...how, "3"],
        { stdio: ["ignore", "ignore", "ignore", fd] },
      );
      child.on("error", reject);
      child.on("close", (code, signal) => {
        if (code === 0) return resolve(() => fs.closeSync(fd));
        fs.closeSync(fd);
        // Only one that does not wait may have to go without.
        if (code === 1 && how.includes("-n")) return resolve(undefined);
        reject(lockFailed(path, `flock(1) ended with ${signal ?? `status ${code}`}`));
      });
    });
  }
}

/** With those above it. Node's own way to do that never ends where a file system makes none, such as /proc (20.20). */
function makeDirectory(path: string, mode = 0o700): void {
  const fs = builtin<typeof Fs>("node:fs");
  try {
    fs.mkdirSync(path, { mode });
  } catch (error) {
    if (codeOf(error) === "EEXIST" && fs.statSync(path).isDirectory()) return;
    const above = path.slice(0, path.lastIndexOf("/"));
    if (codeOf(error) !== "ENOENT" || above === "" || fs.existsSync(above)) throw error;
    makeDirectory(above, mode);
    makeDirectory(path, mode);
  }
}

function tell(text: string): void {
  nodeProcess.print("stderr", text);
}

/** What `World.pin` says. */
export function pin(path: string, link?: "follow"): Pinned | undefined {
  const fs = builtin<typeof Fs>("node:fs");
  // Node has no name for O_PATH; it is the same number on every architecture that Node runs on.
  const flags = 0o10000000 | (link ? 0 : fs.constants.O_NOFOLLOW);
  const fd = orUndefined(() => fs.openSync(path, flags));
  if (fd === undefined) return undefined;
  const stats = fs.fstatSync(fd);
  return {
    // The number that /proc has for us need not be that of our own pid namespace.
    path: `/proc/${fs.readlinkSync("/proc/self")}/fd/${fd}`,
    stat: {
      ...toStat(stats),
      ...{ gid: stats.gid, links: stats.nlink, isLink: stats.isSymbolicLink() },
    },
    release: () => fs.closeSync(fd),
  };
}

/**
 * Writes a new file beside the one of a path. Its name cannot be foreseen, and O_EXCL neither follows a link nor takes a
 * file that others have put there; owner and mode are set by descriptor.
 * @returns its path
 */
export function writeTemporary(path: string, text: string, mode: number, owner?: Owner): string {
  const fs = builtin<typeof Fs>("node:fs");
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const temporary = temporaryName(path, process.pid);
  const fd = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, owner ? 0o600 : mode);
  try {
    fs.writeFileSync(fd, text);
    // Whatever the umask is: a container's users read some of these files.
    if (owner) setOwner(fd, owner, mode);
    else fs.fchmodSync(fd, mode);
    return temporary;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** The mode last: a change of owner takes bits away. */
function setOwner(fd: number, { uid, gid }: Owner, mode: number): void {
  const fs = builtin<typeof Fs>("node:fs");
  const now = fs.fstatSync(fd);
  if (now.uid !== uid || now.gid !== gid) fs.fchownSync(fd, uid, gid);
  fs.fchmodSync(fd, mode);
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // ESRCH: of a process that ends while its file in /proc is open.
    if (["ENOENT", "ENOTDIR", "ESRCH"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}

function readStart(path: string, bytes: number): string {
  const fs = builtin<typeof Fs>("node:fs");
  const [buffer, file] = [new Uint8Array(bytes), fs.openSync(path, "r")];
  try {
    let length = 0;
    for (let read = 1; read > 0 && length < bytes; length += read) {
      read = fs.readSync(file, buffer, length, bytes - length, null);
    }
    return new TextDecoder().decode(buffer.subarray(0, length));
  } finally {
    fs.closeSync(file);
  }
}

function toStat(stats: Fs.Stats): Stat {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSocket() ? "socket" : "other",
    identity: `${stats.dev}:${stats.ino}`,
    uid: stats.uid,
    modified: stats.mtimeMs,
    mode: stats.mode & 0o7777,
  };
}

function run(world: World, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const [program, ...args] = argv;
  const { timeout: limit = usualLimit } = options;
  return new Promise((resolve, reject) => {
    const child = builtin<typeof ChildProcess>("node:child_process").spawn(
      needProgram(world, program!),
      args,
      {
        env: { ...(options.env ?? cleanEnvironment(world)) },
        stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      },
    );
    let [stdout, stderr] = ["", ""];
    child.stdout!.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => stderr += text);
    // What it started may outlive it, and keep its output open; and it may itself be where no signal ends it.
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      [child.stdout, child.stderr].forEach((stream) => stream!.destroy());
      child.unref();
      resolve(tookTooLong(limit, { stdout, stderr }));
    }, limit);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (options.passOn && code === 0) nodeProcess.print("stderr", stderr);
      resolve({
        code: code ?? 128 + builtin<typeof Os>("node:os").constants.signals[signal!],
        stdout,
        stderr,
      });
    });
    // A program that ends without reading it all closes the pipe; its exit status says why.
    child.stdin?.on("error", () => {}).end(options.stdin);
  });
}

function hold(world: World, [program, ...args]: readonly string[]): Promise<Held> {
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(
    needProgram(world, program!),
    args,
    { env: cleanEnvironment(world), stdio: "pipe" },
  );
  const ended = new Promise((resolve) => child.on("close", resolve));
  const letGo = async () => {
    child.stdin.end();
    await ended;
  };
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  let isLate = false;
  const group = () => program === "setsid" ? -child.pid! : child.pid!;
  const endRest = () => world.signal(group(), "SIGKILL");
  const timer = setTimeout(() => isLate = endRest(), holdPatience);
  // See deno.ts.
  if (program === "setsid") child.once("exit", endRest);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.stdout.once("data", () => {
      clearTimeout(timer);
      child.off("exit", endRest);
      resolve({ pid: child.pid!, ended, letGo });
    });
    ended.then(() => {
      clearTimeout(timer);
      reject(isLate ? notReady(args) : new Error(stderr.trim()));
    });
  });
}

function cleanEnvironment(world: World): Record<string, string> {
  return { LC_ALL: "C", PATH: searchPath(world).join(":") };
}

function request(
  socket: string,
  text: string,
  { patience = usualPatience }: RequestOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const connection = builtin<typeof Net>("node:net").connect({ path: socket, allowHalfOpen: true });
    const timer = setTimeout(() => connection.destroy(noAnswer(patience)), patience * 1000);
    connection.setEncoding("utf8").on("data", (part: string) => answer += part);
    connection.on("error", reject).on("close", () => clearTimeout(timer));
    connection.on("end", () => {
      connection.end();
      resolve(answer);
    });
    connection.end(text);
  });
}

/** Answers whoever connects to a unix socket. */
function listen(at: ListenAt, patience: Patience, serve: Serve): Promise<Listening> {
  const open = new Set<Net.Socket>();
  const server = builtin<typeof Net>("node:net").createServer({ allowHalfOpen: true }, (socket) => {
    const crowded = open.size >= patience.most;
    open.add(socket.on("close", () => open.delete(socket)).on("error", () => {}));
    const hearing = crowded ? Promise.resolve("too many" as const) : hear(socket, patience);
    // Whatever goes wrong with one of them must not end us.
    converse(socket, hearing, patience, serve).catch(() => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const umask = process.umask(0o177);
    server.listen("path" in at ? { path: at.path } : { fd: at.descriptor }, () => {
      // One that cannot be accepted, for want of descriptors, must not end us.
      server.on("error", () => {});
      resolve({ close: () => void server.close() });
    });
    process.umask(umask);
  });
}

async function converse(
  socket: Net.Socket,
  hearing: Promise<Unheard | { readonly line: string }>,
  { wait }: Patience,
  serve: Serve,
): Promise<void> {
  const heard = await hearing;
  const { answer, undelivered } = await serve(typeof heard === "string" ? { unheard: heard } : heard);
  let timer;
  const delivered = await new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), wait);
    socket.once("error", () => resolve(false)).once("close", () => resolve(false));
    if (socket.destroyed) resolve(false);
    else socket.end(answer, () => resolve(!socket.errored));
  });
  clearTimeout(timer);
  socket.destroy();
  if (!delivered) await undelivered?.();
}

/** The first line that comes, with or without its end. */
function hear(
  socket: Net.Socket,
  { longest, wait }: Patience,
): Promise<Unheard | { readonly line: string }> {
  const parts: Uint8Array[] = [];
  let size = 0;
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle("too late"), wait);
    const settle = (heard: Unheard | { readonly line: string }) => {
      clearTimeout(timer);
      socket.removeAllListeners("data").pause();
      resolve(heard);
    };
    const whole = () => {
      const decoder = new TextDecoder();
      return parts.map((part) => decoder.decode(part, { stream: true })).join("").split("\n")[0]!;
    };
    socket.on("data", (part: Uint8Array) => {
      parts.push(part);
      size += part.length;
      if (size > longest) settle("too long");
      else if (part.includes(10)) settle({ line: whole() });
    });
    socket.once("end", () => settle(size > 0 ? { line: whole() } : "nothing"));
    socket.once("close", () => settle("nothing"));
  });
}

/** Runs a program until it ends, or our end of standard input closes, which the kernel does however we end. */
const lifeline =
  'exec 3<&0; "$@" </dev/null 3<&- & told=$!; { read -r _ <&3; kill "$told"; } 2>/dev/null & ' +
  'wait "$told"; kill $! 2>/dev/null';

/** Watches through Node's API, which Deno has as well: a service can wait for it to load. */
export function watch(world: World, argv: readonly string[], tell: (line: string) => void): Watched {
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(
    needProgram(world, "sh"),
    ["-c", lifeline, "sh", ...argv],
    { env: cleanEnvironment(world), stdio: ["pipe", "pipe", "ignore"] },
  );
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(tell);
  });
  const ended = new Promise<void>((resolve) => {
    child.on("error", () => resolve());
    child.on("close", () => resolve());
  });
  child.stdin.on("error", () => {});
  return { ended, stop: () => void child.stdin.end() };
}

function printBytes(to: "stdout" | "stderr", bytes: Uint8Array): void {
  const { writeSync } = builtin<typeof Fs>("node:fs");
  writeAll(streamNames[to], bytes, (part) => writeSync(to === "stdout" ? 1 : 2, part));
}

/** What a program's entry needs of its process. */
export const nodeProcess = {
  args: (): readonly string[] => process.argv.slice(2),
  stdin: (): Promise<string> => Promise.resolve(builtin<typeof Fs>("node:fs").readFileSync(0, "utf8")),
  print: (to: "stdout" | "stderr", text: string): void => printBytes(to, new TextEncoder().encode(text)),
  printBytes: (text: string): void => printBytes("stdout", bytesOfText(text)),
  columns: (): number | undefined =>
    builtin<typeof Tty>("node:tty").isatty(1) ? process.stdout.columns : undefined,
  file: (): string => builtin<typeof Fs>("node:fs").realpathSync(process.argv[1]!),
  readFile: (): string => builtin<typeof Fs>("node:fs").readFileSync(process.argv[1]!, "utf8"),
  close: (descriptors: readonly number[]): void =>
    descriptors.forEach((descriptor) => builtin<typeof Fs>("node:fs").closeSync(descriptor)),
  exit: (code: number): never => process.exit(code),
};

/** What a service that works through Node's layer, which Deno has as well, needs of its process. */
export const service = {
  /** Once nobody can write into standard input any more. */
  inputEnds: (): Promise<void> =>
    new Promise((resolve) => {
      process.stdin.on("end", resolve).on("close", resolve).on("error", () => resolve()).resume();
    }),
  ready: (): void => void process.stdout.write("ready\n"),
  tell: (line: string): void => void process.stderr.write(`${line}\n`),
  exit: (code: number): never => process.exit(code),
  /** What nobody expected is told, and ends nothing. */
  survive: (tell: (problem: unknown) => void): void =>
    void process.on("uncaughtException", tell).on("unhandledRejection", tell),
};
