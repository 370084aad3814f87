import {
  type Confinement,
  type Held,
  holdPatience,
  needProgram,
  noAnswer,
  notReady,
  type Output,
  type Pinned,
  type RequestOptions,
  type RunOptions,
  searchPath,
  signals,
  type Stat,
  temporaryName,
  tookTooLong,
  usualLimit,
  usualPatience,
  type World,
} from "../plan/world.ts";

import { lockFailed, tellWait } from "./lock.ts";
import { bytesOfText, streamNames, textOfBytes, writeAll } from "./output.ts";
import { oneLine } from "../wire/cni/output.ts";
import { listen } from "./deno_listen.ts";
import { http, serveHttp } from "./http.ts";
import { pin as pinByNode, watch, writeTemporary as writeOwned } from "./node.ts";

/** Whether it is 2.0, whose Node layer lacks a little. */
export function isFirstDeno2(): boolean {
  return Deno.version.deno.startsWith("2.0.");
}

/** The world through Deno's own API: its Node layer would cost 25 ms at every start. */
export function denoWorld(): World {
  const world: World = {
    runtime: "deno",
    pid: Deno.pid,
    uid: Deno.uid() ?? 0,
    runtimePath: Deno.execPath(),
    self: selfCommand(["-A"]),
    confined: (paths, { reads = [], datagrams = false }: Partial<Confinement> = {}) =>
      selfCommand([...permissions(paths, reads), ...(datagrams ? ["--unstable-net"] : [])]),

    env: (name) => Deno.env.get(name),
    environment: () => Deno.env.toObject(),

    read: (path) => orUndefined(() => Deno.readTextFileSync(path)),
    readBytes: (path) => orUndefined(() => textOfBytes(Deno.readFileSync(path))),
    readStart: (path, bytes) => orUndefined(() => readStart(path, bytes)),
    list: (path) => orUndefined(() => Array.from(Deno.readDirSync(path), (entry) => entry.name)) ?? [],
    stat: (path, link) => orUndefined(() => toStat(link ? Deno.lstatSync(path) : Deno.statSync(path))),
    readLink: (path) => orUndefined(() => Deno.readLinkSync(path)),
    pin: (path, link) => hasLibc() ? orUndefined(() => pin(path, link)) : pinByNode(path, link),

    write: (path, text, mode = 0o600, owner) => {
      const temporary = owner ? writeOwned(path, text, mode, owner) : writeTemporary(path, text, mode);
      try {
        Deno.renameSync(temporary, path);
      } catch (error) {
        Deno.removeSync(temporary);
        throw error;
      }
    },
    create: (path, text, mode = 0o600) => {
      const temporary = writeTemporary(path, text, mode);
      try {
        Deno.linkSync(temporary, path);
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.AlreadyExists) return false;
        throw error;
      } finally {
        Deno.removeSync(temporary);
      }
    },
    put: (path, text) => Deno.writeTextFileSync(path, text, { create: false }),
    symlink: (target, path) => Deno.symlinkSync(target, path),
    makeDirectory: (path, mode = 0o700) => Deno.mkdirSync(path, { recursive: true, mode }),
    remove: (path) => void orUndefined(() => Deno.removeSync(path, { recursive: true })),
    removeEmpty: (path) => {
      try {
        Deno.removeSync(path);
      } catch { /* It is not there, or not empty: both are fine. */ }
    },

    warn: (line) => tell(`ocinet: ${oneLine(line)}\n`),
    lock: async (path) => (await lock(world, path, "wait"))!,
    tryLock: (path) => lock(world, path, "try"),
    share: async (directory) => {
      const file = Deno.openSync(directory);
      await lockFile(world, directory, file, false);
      return () => file.close();
    },
    tryOwn: async (directory) => {
      const file = Deno.openSync(directory);
      if (await tryFlock(world, file, directory)) return () => file.close();
      file.close();
      return undefined;
    },

    run: (argv, options) => run(world, argv, options),
    ask: ([program, ...args]) => {
      const options = { args, clearEnv: true, env: cleanEnvironment(world) };
      const { stderr } = new Deno.Command(needProgram(world, program!), options).outputSync();
      return new TextDecoder().decode(stderr);
    },
    request,
    http,
    serveHttp,
    listen,
    watch: (argv, tell) => watch(world, argv, tell),
    canListen: (hostname, port) => {
      try {
        Deno.listen({ hostname, port }).close();
        return Promise.resolve(true);
      } catch (error) {
        return Promise.resolve(!(error instanceof Deno.errors.AddrInUse));
      }
    },
    hasAddress: (hostname) => {
      try {
        Deno.listen({ hostname, port: 0 }).close();
        return Promise.resolve(true);
      } catch {
        return Promise.resolve(false);
      }
    },
    exists: (pid) => {
      try {
        // The types know no 0, which only asks.
        Deno.kill(pid, 0 as unknown as Deno.Signal);
        return true;
      } catch (error) {
        return !(error instanceof Deno.errors.NotFound);
      }
    },
    signal: (pid, name) => {
      try {
        Deno.kill(pid, name);
        return true;
      } catch {
        return false;
      }
    },

    hold: (argv) => hold(world, argv),
    start: ([program, ...words], env) => {
      // What is blocked in us would be in it.
      const unblocked = isBlocked(world) ? ["/usr/bin/env", "--default-signal=USR1", "--"] : [];
      const [path, ...args] = [...unblocked, needProgram(world, program!), ...words];
      const child = new Deno.Command(path!, {
        ...{ args, clearEnv: true, env: { ...env } },
        ...{ stdin: "inherit", stdout: "inherit", stderr: "inherit" },
      }).spawn();
      return { pid: child.pid, ended: child.status.then(({ code }) => code) };
    },
    onSignals: (names, tell) =>
      names.forEach((name) => {
        if (name === "SIGUSR1" && isBlocked(world)) return void tellBlocked(tell);
        Deno.addSignalListener(name, () => tell(name));
      }),
  };
  return world;
}

/** Whether our launcher has blocked SIGUSR1. */
function isBlocked(world: World): boolean {
  const blocked = /^SigBlk:\s*([0-9a-f]+)/m.exec(world.read("/proc/self/status") ?? "")?.[1];
  return (BigInt(`0x${blocked ?? 0}`) >> BigInt(signals.SIGUSR1 - 1) & 1n) === 1n;
}

/** Waits for SIGUSR1 where it is blocked, as sigwait(3) can, but Deno cannot: to listen for it would unblock nothing. */
async function tellBlocked(tell: (name: "SIGUSR1") => void): Promise<void> {
  const { symbols: { sigwait } } = openLibc();
  const set = new Uint8Array(128);
  set[(signals.SIGUSR1 - 1) >> 3] = 1 << (signals.SIGUSR1 - 1 & 7);
  while (await sigwait(set, new Uint8Array(4)) === 0) tell("SIGUSR1");
}

/** glibc, or musl by the name that it has under glibc's names. */
function openLibc() {
  const functions = {
    sigwait: { parameters: ["buffer", "buffer"], result: "i32", nonblocking: true },
  } as const;
  try {
    return Deno.dlopen("libc.so.6", functions);
  } catch {
    return Deno.dlopen("libc.so", functions);
  }
}

/** The file that runs, for which a service may have no more permission than to read it. */
function ownFile(): string {
  const { mainModule } = Deno;
  return mainModule.startsWith("file://") ? decodeURIComponent(mainModule.slice(7)) : mainModule;
}

function selfCommand(allowed: readonly string[]): readonly string[] {
  return [
    // src/launcher.sh says why.
    ...["/usr/bin/env", "--block-signal=USR1"],
    Deno.execPath(),
    "run",
    ...allowed,
    "--no-config",
    "--no-lock",
    "--ext=js",
    Deno.realPathSync(ownFile()),
  ];
}

/** A comma within a path is written twice. */
function permissions(paths: readonly string[], reads: readonly string[]): readonly string[] {
  const list = (paths: readonly string[]) => paths.map((path) => path.replaceAll(",", ",,")).join(",");
  // Its own file for the parts of that which are evaluated later.
  const own = Deno.realPathSync(ownFile());
  return [
    "--no-prompt",
    `--allow-read=${list([...paths, ...reads, own])}`,
    `--allow-write=${list(paths)}`,
    "--allow-net",
  ];
}

/** See node.ts: `createNew` is O_EXCL, which follows no link. */
function writeTemporary(path: string, text: string, mode: number): string {
  const temporary = temporaryName(path, Deno.pid);
  try {
    Deno.writeTextFileSync(temporary, text, { mode, createNew: true });
  } catch (error) {
    // What has the name by chance is another's, and stays.
    if (!(error instanceof Deno.errors.AlreadyExists)) orUndefined(() => Deno.removeSync(temporary));
    throw error;
  }
  return temporary;
}

const symbols = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

let libc: Deno.StaticForeignLibraryInterface<typeof symbols> | undefined;

/** The C library's file by the name of glibc, and of musl. */
export const libcNames = () => ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`];

function hasLibc(): boolean {
  for (const name of libcNames()) {
    try {
      libc ??= Deno.dlopen(name, symbols).symbols;
      return true;
    } catch { /* Then by the next one. */ }
  }
  return false;
}

/** Deno has no way to pass flags to open(2) but its Node layer, which would cost a hook ten times as much. */
function pin(path: string, link?: "follow"): Pinned {
  const noFollow = Deno.build.arch === "aarch64" ? 0o100000 : 0o400000;
  const [pathOnly, closeOnExec] = [0o10000000, 0o2000000];
  const fd = libc!.open(
    new TextEncoder().encode(`${path}\0`),
    pathOnly | closeOnExec | (link ? 0 : noFollow),
    0,
  );
  // Why it could not be opened is in errno, which is out of reach; looking gives the same error, or there was a race.
  if (fd < 0) {
    (link ? Deno.statSync : Deno.lstatSync)(path);
    throw new Deno.errors.NotFound(path);
  }
  const held = `/proc/${Deno.readLinkSync("/proc/self")}/fd/${fd}`;
  const info = Deno.statSync(held);
  return {
    path: held,
    stat: { ...toStat(info), gid: info.gid ?? 0, links: info.nlink ?? 1, isLink: info.isSymlink },
    release: () => void libc!.close(fd),
  };
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Of a process that ends while its file in /proc is open, reading gives ESRCH, for which Deno has no class. */
function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
    String(error).includes("(os error 3)");
}

function readStart(path: string, bytes: number): string {
  const [buffer, file] = [new Uint8Array(bytes), Deno.openSync(path)];
  try {
    let length = 0;
    for (let read: number | null = 1; read && length < bytes; length += read ?? 0) {
      read = file.readSync(buffer.subarray(length));
    }
    return new TextDecoder().decode(buffer.subarray(0, length));
  } finally {
    file.close();
  }
}

function toStat(info: Deno.FileInfo): Stat {
  return {
    kind: info.isFile ? "file" : info.isDirectory ? "directory" : info.isSocket ? "socket" : "other",
    identity: `${info.dev}:${info.ino}`,
    uid: info.uid ?? 0,
    modified: info.mtime?.getTime() ?? 0,
    mode: (info.mode ?? 0) & 0o7777,
  };
}

async function lock(
  world: World,
  path: string,
  how: "wait" | "try",
): Promise<(() => void) | undefined> {
  while (true) {
    const file = orUndefined(() =>
      Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 })
    );
    if (!file) {
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
      continue;
    }
    if (how === "wait") await lockFile(world, path, file, true);
    else if (!(await tryFlock(world, file, path))) {
      file.close();
      return undefined;
    }
    // Whoever had it may have removed the name while we waited; then the lock on this inode is worth nothing.
    const named = orUndefined(() => Deno.statSync(path));
    if (named !== undefined && named.ino === file.statSync().ino) {
      return () => {
        Deno.removeSync(path);
        file.close();
      };
    }
    file.close();
  }
}

function tell(text: string): void {
  printBytes("stderr", new TextEncoder().encode(text));
}

async function lockFile(world: World, path: string, file: Deno.FsFile, exclusive: boolean): Promise<void> {
  const locked = file.lock(exclusive).catch((error) => {
    throw lockFailed(path, String(error.message));
  });
  await tellWait(world, path, locked, tell);
}

/** Deno can try only since 2.7; before, util-linux's flock looks whether there would be a wait. */
async function tryFlock(world: World, file: Deno.FsFile, path: string): Promise<boolean> {
  if ("tryLock" in file) return await file.tryLock(true);
  const { code } = await run(world, ["flock", "--exclusive", "--nonblock", path, "true"]);
  if (code === 0) await (file as Deno.FsFile).lock(true);
  return code === 0;
}

async function run(world: World, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const [program, ...args] = argv;
  const { timeout: limit = usualLimit } = options;
  const child = new Deno.Command(needProgram(world, program!), {
    args,
    clearEnv: true,
    env: { ...(options.env ?? cleanEnvironment(world)) },
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const fed = options.stdin === undefined ? undefined : feed(child.stdin, options.stdin);
  const output = child.output();
  // What it started may outlive it, and keep its output open; and it may itself be where no signal ends it.
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(resolve, limit, undefined));
  const ended = await Promise.race([output, late]).finally(() => clearTimeout(timer));
  if (!ended) {
    kill(child);
    return tookTooLong(limit, { stdout: "", stderr: "" });
  }
  await fed;
  const { code, stdout, stderr } = ended;
  if (options.passOn && code === 0) printBytes("stderr", stderr);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch { /* It has ended, and what it started has not. */ }
}

async function feed(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The program ended without reading it all; its exit status says why.
    await writer.abort().catch(() => {});
  }
}

async function hold(world: World, [program, ...args]: readonly string[]): Promise<Held> {
  const child = new Deno.Command(needProgram(world, program!), {
    ...{ args, clearEnv: true, env: cleanEnvironment(world) },
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  let [isReady, isLate] = [false, false];
  const group = program === "setsid" ? -child.pid : child.pid;
  const timer = setTimeout(() => isLate = world.signal(group, "SIGKILL"), holdPatience);
  // An unshare(1) that cannot make the namespaces leaves the process that was to map ids in them (2.38): that waits for
  // ever, and has our pipes.
  if (group < 0) child.status.then(() => isReady || world.signal(group, "SIGKILL"));
  const said = child.stdout.getReader();
  isReady = !(await said.read()).done;
  clearTimeout(timer);
  const close = () => child.stdin.close().catch(() => {});
  if (!isReady) {
    await close();
    const problem = (await new Response(child.stderr).text()).trim();
    throw isLate ? notReady(args) : new Error(problem);
  }
  // A pipe that is not read to its end stays open when the program has ended.
  const ended = child.status.finally(() => Promise.all([said.cancel(), child.stderr.cancel()]));
  let end: Promise<unknown> | undefined;
  return { pid: child.pid, ended, letGo: async () => void await (end ??= Promise.all([close(), ended])) };
}

/** Deno, should it be that, keeps its things where our launcher says. */
function cleanEnvironment(world: World): Record<string, string> {
  const cache = Deno.env.get("DENO_DIR");
  return { LC_ALL: "C", PATH: searchPath(world).join(":"), ...(cache ? { DENO_DIR: cache } : {}) };
}

async function request(
  socket: string,
  text: string,
  { patience = usualPatience }: RequestOptions = {},
): Promise<string> {
  const connection = await Deno.connect({ transport: "unix", path: socket });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(noAnswer(patience));
      connection.close();
    }, patience * 1000);
  });
  try {
    return await Promise.race([converse(connection, text), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function converse(connection: Deno.UnixConn, text: string): Promise<string> {
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

/** Standard input, whole. Without the streams API, whose first use costs 10 ms. */
function readStdin(): Promise<string> {
  const [buffer, decoder] = [new Uint8Array(65536), new TextDecoder()];
  let text = "";
  for (let size = Deno.stdin.readSync(buffer); size !== null; size = Deno.stdin.readSync(buffer)) {
    text += decoder.decode(buffer.subarray(0, size), { stream: true });
  }
  return Promise.resolve(text);
}

function printBytes(to: "stdout" | "stderr", bytes: Uint8Array): void {
  const stream = to === "stdout" ? standardOutput() : Deno.stderr;
  writeAll(streamNames[to], bytes, (part) => stream.writeSync(part));
}

let pipe: Deno.FsFile | undefined;

/**
 * Deno has a buffer before its standard output, so that of a write which fails because the caller's pipe is full and does
 * not block nobody knows how much was taken (2.9.5). The same pipe, opened anew, blocks.
 */
function standardOutput(): Pick<Deno.FsFile, "writeSync"> {
  try {
    const path = "/proc/self/fd/1";
    if (Deno.statSync(path).isFifo) return pipe ??= Deno.openSync(path, { write: true });
  } catch { /* Of another user's pipe that is not allowed. */ }
  return Deno.stdout;
}

/** What a program's entry needs of its process. */
export const denoProcess = {
  args: (): readonly string[] => Deno.args,
  stdin: readStdin,
  print: (to: "stdout" | "stderr", text: string): void => printBytes(to, new TextEncoder().encode(text)),
  printBytes: (text: string): void => printBytes("stdout", bytesOfText(text)),
  isTerminal: (): boolean => Deno.stdout.isTerminal(),
  file: ownFile,
  readFile: (): string => Deno.readTextFileSync(ownFile()),
  /** Descriptors that were inherited, and would be by all that we start. */
  close: (descriptors: readonly number[]): void => {
    if (hasLibc()) descriptors.forEach((descriptor) => libc!.close(descriptor));
  },
  exit: (code: number): never => Deno.exit(code),
};
