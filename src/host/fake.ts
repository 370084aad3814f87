/**
 * A machine in memory, for tests: files, /proc and /sys, the programs that this program runs, and a small model of the
 * kernel under them (fake/). It can fail at any call of a program or change of a file, in the ways that machines do. All
 * members of World are in one file, since each of them may fail alike.
 */
import {
  type Output,
  type RunOptions,
  type Stat,
  tookTooLong,
  usualLimit,
  type World,
} from "../plan/world.ts";
import { addressOf } from "../net/address.ts";
import { checkFile } from "../plan/files.ts";
import {
  addNamespace,
  endProcesses,
  type FakeProcess,
  type Kernel,
  kernelLines,
  newKernel,
  startProcess,
  unmount,
} from "./fake/kernel.ts";
import { isKernels, show, type Shown, writeSysctl } from "./fake/proc.ts";
import { askResolver, type Caller, killed, runProgram, type Trouble } from "./fake/programs.ts";
import { failure, Tree } from "./fake/tree.ts";

/** In which way something goes wrong. */
export const faultKinds = [
  "refused",
  "killed before",
  "killed after",
  "killed half-way",
  "silent",
  "hangs",
  "disk full",
  "we die before",
  "we die after",
] as const;

export type FaultKind = typeof faultKinds[number];

/** What goes wrong at a call. */
export interface Fault {
  readonly kind: FaultKind;
  /** Which call of a program, or change of a file, from 1 on. */
  readonly call: number;
  /** Where in a program's input, from 0 to 1. */
  readonly at: number;
}

/** What every call fails with once our process has been killed. */
export class Killed extends Error {}

/** What a machine is to be like. */
export interface FakeOptions {
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** The number of our own process. */
  readonly firstPid?: number;
  /** Its clock and its chance; by default those of this process. */
  readonly now?: () => number;
  readonly random?: () => number;
}

/** The machine. */
export interface Fake {
  /** Our process on it. */
  readonly world: World;
  readonly kernel: Kernel;
  readonly tree: Tree;
  /** How many calls that can fail there have been. */
  readonly calls: number;
  /** What was called: programs and changes of files, a line each. */
  readonly log: readonly string[];
  /** Puts a file there, or sets a sysctl that is there. */
  place(path: string, text: string): void;
  /** Puts a pipe there, in place of what is there. */
  placePipe(path: string): void;
  /** Makes a network namespace with a name in /run/netns. */
  addNamespace(name: string): string;
  /** Takes that name away. */
  removeNamespace(name: string): void;
  /** Starts a process in a namespace of its own. @returns its pid */
  startContainer(cmdline: string): number;
  endProcess(pid: number): void;
  /** From now on the machine fails so, counted from the next call; or no longer. */
  fail(fault: Fault | undefined): void;
  /** Whether our process has been killed. */
  readonly dead: boolean;
  /** The machine as it is, with another process of ours: the one before has ended. */
  restart(): Fake;
  /** Another machine that is just like this one. */
  copy(): Fake;
  /** All that is there, a line each, in order. */
  dump(): readonly string[];
}

interface Machine {
  readonly kernel: Kernel;
  readonly tree: Tree;
  readonly options: FakeOptions;
  /** Exclusive locks by path, and how many share a directory. */
  readonly locks: Map<string, (() => void)[]>;
}

/** A machine that nothing has been done to: an uplink eth0, and the files that there are on every machine. */
export function newFake(options: FakeOptions = {}): Fake {
  const tree = new Tree();
  ["/run/netns", "/etc", "/tmp", "/var/lib", "/usr/sbin", "/own"].forEach((path) =>
    tree.makeDirectory(path, 0o755)
  );
  tree.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
  for (const name of installed) tree.write(`/usr/sbin/${name}`, "", 0o755);
  const kernel = newKernel();
  kernel.nextPid = options.firstPid ?? kernel.nextPid;
  return fakeOf({ kernel, tree, options, locks: new Map() });
}

const installed = ["ip", "tc", "bridge", "nft", "nsenter", "sh", "conntrack", "udhcpc", "cat", "true", "env"];

function fakeOf(machine: Machine): Fake {
  const { kernel, tree, options } = machine;
  const self = startProcess(kernel, "ocinet", kernel.own);
  const state: State = {
    calls: 0,
    log: [],
    fault: undefined,
    dead: false,
    full: false,
    since: 0,
  };
  return {
    ...{ kernel, tree, world: worldOf(machine, self, state) },
    get calls() {
      return state.calls;
    },
    get dead() {
      return state.dead;
    },
    log: state.log,
    place: (path, text) => {
      const key = /^\/proc\/sys\/(.*)$/.exec(path)?.[1];
      if (key !== undefined) return writeSysctl(kernel, kernel.own, key, text);
      tree.makeDirectory(path.slice(0, path.lastIndexOf("/")), 0o755);
      tree.write(path, text, 0o644);
    },
    placePipe: (path) => {
      tree.makeDirectory(path.slice(0, path.lastIndexOf("/")), 0o755);
      tree.remove(path);
      tree.write(path, "", 0o600, "pipe");
    },
    addNamespace: (name) => {
      const path = `/run/netns/${name}`;
      kernel.mounts[path] = addNamespace(kernel).inode;
      return path;
    },
    removeNamespace: (name) => unmount(kernel, `/run/netns/${name}`),
    startContainer: (cmdline) => startProcess(kernel, cmdline, addNamespace(kernel).inode).pid,
    endProcess: (pid) => void endProcesses(kernel, (one) => one.pid === pid),
    fail: (fault) => Object.assign(state, { fault, full: false, since: state.calls }),
    restart: () => {
      state.dead = true;
      endProcesses(kernel, ({ pid }) => pid === self.pid);
      return fakeOf({ ...machine, locks: new Map() });
    },
    copy: () => {
      const copied = structuredClone(kernel);
      endProcesses(copied, ({ pid }) => pid === self.pid);
      return fakeOf({ kernel: copied, tree: tree.copy(), options, locks: new Map() });
    },
    dump: () =>
      [
        ...kernelLines(kernel).filter((line) => !line.endsWith(" ocinet")),
        ...tree.lines(),
        ...tree.emptyDirectories(),
      ]
        .toSorted(),
  };
}

interface State {
  calls: number;
  readonly log: string[];
  fault: Fault | undefined;
  /** Our process has been killed. */
  dead: boolean;
  /** No file can be made any more. */
  full: boolean;
  /** How many calls there had been when the fault was asked for. */
  since: number;
}

/** Counts a call, and says what goes wrong with it. @throws Killed */
function count(state: State, what: string): Fault | undefined {
  if (state.dead) throw new Killed(`the process has been killed; it called ${what}`);
  state.calls++;
  state.log.push(what);
  const { fault } = state;
  if (!fault || state.calls - state.since !== fault.call) return undefined;
  if (fault.kind === "disk full") state.full = true;
  if (fault.kind === "we die before") {
    state.dead = true;
    throw new Killed(`the process was killed before ${what}`);
  }
  return fault;
}

/** Does a change of a file, or fails. */
function change<T>(machine: Machine, self: FakeProcess, state: State, call: FileCall<T>): T {
  const { verb, path, makes, act } = call;
  const fault = count(state, `${verb} ${path}`);
  if (makes && state.full && machine.tree.entry(path) === undefined) {
    throw failure("ENOSPC", "no space left on device", path);
  }
  if (fault && makes && ["refused", "silent"].includes(fault.kind)) throw failure("EIO", "i/o error", path);
  if (fault?.kind === "killed half-way" && makes) return dieHalfWay(machine, self, state, path);
  const result = act();
  if (fault?.kind === "we die after") {
    state.dead = true;
    throw new Killed(`the process was killed after ${verb} ${path}`);
  }
  return result;
}

interface FileCall<T> {
  readonly verb: string;
  readonly path: string;
  /** It needs room that is not there yet. */
  readonly makes: boolean;
  act(): T;
}

/** What is written whole is written under another name first; see node.ts. */
function dieHalfWay({ tree }: Machine, { pid }: FakeProcess, state: State, path: string): never {
  const at = path.lastIndexOf("/") + 1;
  if (tree.entry(path.slice(0, at - 1))) {
    tree.write(`${path.slice(0, at)}.${path.slice(at)}.${pid}.0`, "", 0o600);
  }
  state.dead = true;
  throw new Killed(`the process was killed while it wrote ${path}`);
}

async function run(
  machine: Machine,
  state: State,
  argv: readonly string[],
  { stdin, timeout = usualLimit }: RunOptions = {},
): Promise<Output> {
  const fault = count(state, argv.join(" ") + (stdin === undefined ? "" : ` <<< ${JSON.stringify(stdin)}`));
  // Other tasks of ours go on meanwhile.
  await Promise.resolve();
  const caller = callerOf(machine);
  if (!fault) return runProgram(caller, argv, stdin);
  switch (fault.kind) {
    case "refused":
      return runProgram({ ...caller, trouble: { how: "refused", at: fault.at } }, argv, stdin);
    case "killed before":
      return killed;
    case "killed half-way":
      return runProgram({ ...caller, trouble: troubleOf(fault) }, argv, stdin);
    case "silent":
      return { code: 1, stdout: "", stderr: "" };
    case "hangs":
      return tookTooLong(timeout, { stdout: "", stderr: "" });
    case "killed after":
      runProgram(caller, argv, stdin);
      return killed;
    case "we die after":
      runProgram(caller, argv, stdin);
      state.dead = true;
      throw new Killed(`the process was killed after ${argv.join(" ")}`);
    default:
      return runProgram(caller, argv, stdin);
  }
}

/** Only a resolver is ever asked. */
async function request(
  { kernel, tree }: Machine,
  state: State,
  socket: string,
  text: string,
): Promise<string> {
  await Promise.resolve();
  const isThere = kernel.processes.some(({ cmdline }) => cmdline === `resolver ${socket}`);
  const fault = isThere ? count(state, `request ${socket}`) : undefined;
  if (fault?.kind === "refused") return '{"error":{"desc":"10.2.2.1 port 53: Device or resource busy"}}';
  const answer = fault?.kind === "hangs" ? undefined : askResolver(kernel, tree, socket, text);
  if (fault?.kind === "we die after") {
    state.dead = true;
    throw new Killed(`the process was killed after it had asked ${socket}`);
  }
  if (answer === undefined) throw failure("ECONNREFUSED", "connection refused", socket);
  return answer;
}

function troubleOf({ at }: Fault): Trouble {
  return { how: "dies", at };
}

function callerOf(machine: Machine): Caller {
  const { kernel, tree } = machine;
  return {
    ...{ kernel, tree, namespace: kernel.namespaces.find(({ inode }) => inode === kernel.own)! },
    inodeAt: (path) => {
      const found = /^[0-9]+$/.test(path) ? `/proc/${path}/ns/net` : path;
      const shown = lookAt(machine, undefined, found);
      return shown?.kind === "namespace" ? shown.inode : undefined;
    },
  };
}

/** What is at a path: the kernel's, a namespace's name, or a file's. */
function lookAt({ kernel, tree }: Machine, self: FakeProcess | undefined, path: string): Shown | undefined {
  const mounted = kernel.mounts[path];
  if (mounted !== undefined) return { kind: "namespace", type: "net", inode: mounted };
  if (isKernels(path)) return show(kernel, self ?? kernel.processes[0]!, path);
  const entry = tree.entry(path);
  if (!entry) return undefined;
  if (entry.kind === "directory") return { kind: "directory", names: tree.names(path) };
  if (entry.kind === "pipe") return { kind: "pipe" };
  return entry.kind === "symlink" ? { kind: "link", to: entry.text } : { kind: "file", text: entry.text };
}

function statOf(machine: Machine, self: FakeProcess, path: string): Stat | undefined {
  const own = { uid: machine.options.uid ?? 0, modified: 1, mode: 0o755 };
  const entry = isKernels(path) ? undefined : machine.tree.entry(path);
  const shown = lookAt(machine, self, path);
  if (!shown) return undefined;
  if (shown.kind === "namespace") return { ...own, kind: "other", identity: `4:${shown.inode}` };
  const kind = shown.kind === "link" || shown.kind === "pipe" ? "other" : shown.kind;
  if (!entry) return { ...own, kind, identity: `5:${path}` };
  return { ...own, kind, identity: `1:${entry.inode}`, modified: entry.modified, mode: entry.mode };
}

function readLinkOf(machine: Machine, self: FakeProcess, path: string): string | undefined {
  const shown = lookAt(machine, self, path);
  if (shown?.kind === "namespace") return `${shown.type}:[${shown.inode}]`;
  return shown?.kind === "link" ? shown.to : undefined;
}

/** Bits of S_IFMT. */
const types = { pipe: 0o010000, directory: 0o040000 } as const;

type Files = Pick<
  World,
  | "read"
  | "readBytes"
  | "readStart"
  | "list"
  | "stat"
  | "readLink"
  | "pin"
  | "write"
  | "create"
  | "put"
  | "append"
  | "symlink"
  | "makeDirectory"
  | "remove"
  | "removeEmpty"
>;

function filesOf(machine: Machine, self: FakeProcess, state: State): Files {
  const { kernel, tree } = machine;
  const changing = <T>(verb: string, path: string, makes: boolean, act: () => T): T =>
    change(machine, self, state, { verb, path, makes, act });
  const looking = <T>(what: string, act: () => T): T => {
    if (state.dead) throw new Killed(`the process has been killed; it looked at ${what}`);
    return act();
  };
  const shownAt = (path: string) => looking(path, () => lookAt(machine, self, path));
  const put = (path: string, text: string) => {
    const key = /^\/proc\/sys\/(.*)$/.exec(path)?.[1];
    if (key === undefined) tree.rewrite(path, text);
    else writeSysctl(kernel, kernel.own, key, text);
  };
  const read = (path: string) => {
    const shown = shownAt(path);
    if (shown && shown.kind in types) {
      checkFile(path, { mode: types[shown.kind as keyof typeof types], size: 0, rdev: 0 });
    }
    return shown?.kind === "file" ? shown.text : undefined;
  };
  return {
    ...{ read, readBytes: read, readStart: (path, bytes) => read(path)?.slice(0, bytes) },
    list: (path) => {
      const shown = shownAt(path);
      return shown?.kind === "directory" ? shown.names : [];
    },
    stat: (path) => looking(path, () => statOf(machine, self, path)),
    readLink: (path) => looking(path, () => readLinkOf(machine, self, path)),
    pin: (path) => {
      const stat = looking(path, () => statOf(machine, self, path));
      return stat && { path, stat: { ...stat, gid: 0, isLink: false, links: 1 }, release: () => {} };
    },
    write: (path, text, mode = 0o600) => changing("write", path, true, () => tree.write(path, text, mode)),
    create: (path, text, mode = 0o600) =>
      changing("create", path, true, () => tree.entry(path) ? false : (tree.write(path, text, mode), true)),
    put: (path, text) => changing("put", path, !isKernels(path), () => put(path, text)),
    append: (path, text) => {
      const old = tree.entry(path)?.text;
      if (old !== undefined) changing("append", path, true, () => put(path, old + text));
    },
    symlink: (target, path) =>
      changing("symlink", path, true, () => tree.write(path, target, 0o777, "symlink")),
    makeDirectory: (path, mode) =>
      tree.entry(path)?.kind === "directory"
        ? undefined
        : changing("makeDirectory", path, true, () => tree.makeDirectory(path, mode)),
    remove: (path) => changing("remove", path, false, () => tree.remove(path)),
    removeEmpty: (path) => changing("removeEmpty", path, false, () => tree.removeEmpty(path)),
  };
}

function hasAddress({ kernel }: Machine, address: string): boolean {
  const host = kernel.namespaces.find(({ inode }) => inode === kernel.own)!;
  return host.links.some(({ addresses }) => addresses.some((one) => addressOf(one.address) === address));
}

type Locks = Pick<World, "lock" | "tryLock" | "share" | "tryOwn">;

function locksOf({ locks, tree }: Machine, state: State): Locks {
  const free = (path: string, isFile: boolean) => () => {
    if (state.dead) return;
    if (isFile) tree.remove(path);
    const waiting = locks.get(path)!;
    if (waiting.length > 0) waiting.shift()!();
    else locks.delete(path);
  };
  const make = (path: string) => {
    if (tree.entry(path)) return;
    if (state.full) throw failure("ENOSPC", "no space left on device", path);
    tree.makeDirectory(path.slice(0, path.lastIndexOf("/")), 0o700);
    tree.write(path, "", 0o600);
  };
  const shared = new Map<string, number>();
  const tryLock = (path: string): Promise<(() => void) | undefined> => {
    const fault = count(state, `lock ${path}`);
    if (locks.has(path)) return Promise.resolve(undefined);
    if (fault?.kind === "refused") throw failure("EIO", "i/o error", path);
    make(path);
    locks.set(path, []);
    if (fault?.kind.startsWith("we die") || fault?.kind === "killed half-way") {
      state.dead = true;
      throw new Killed(`the process was killed after it had locked ${path}`);
    }
    return Promise.resolve(free(path, true));
  };
  return {
    tryLock: async (path) => await tryLock(path),
    lock: async (path) => {
      const first = await tryLock(path);
      if (first) return first;
      await new Promise<void>((resolve) => locks.get(path)!.push(resolve));
      make(path);
      return free(path, true);
    },
    share: (directory) => {
      if (state.dead) return Promise.reject(new Killed("the process has been killed"));
      shared.set(directory, (shared.get(directory) ?? 0) + 1);
      return Promise.resolve(() => void shared.set(directory, shared.get(directory)! - 1));
    },
    tryOwn: (directory) => {
      if (state.dead) return Promise.reject(new Killed("the process has been killed"));
      if ((shared.get(directory) ?? 0) > 0) return Promise.resolve(undefined);
      shared.set(directory, Infinity);
      return Promise.resolve(() => void shared.delete(directory));
    },
  };
}

function worldOf(machine: Machine, self: FakeProcess, state: State): World {
  const { kernel, options } = machine;
  const { uid = 0, env = {} } = options;
  const never = (what: string) => () => {
    throw new Error(`the machine in memory has no ${what}`);
  };
  return {
    ...{
      runtime: "deno",
      runtimePath: "/usr/bin/deno",
      pid: self.pid,
      uid,
      self: ["/usr/bin/deno", "/usr/bin/ocinet"],
      lean: ["/usr/bin/deno", "/usr/bin/ocinet"],
    },
    confined: () => ["/usr/bin/deno", "/usr/bin/ocinet"],
    env: (name) => Object.hasOwn(env, name) ? env[name] : undefined,
    environment: () => env,
    ...filesOf(machine, self, state),
    ...locksOf(machine, state),
    run: (argv, options) => run(machine, state, argv, options),
    ask: () => "",
    now: options.now ?? Date.now,
    random: options.random ?? Math.random,
    warn: () => {},
    request: (socket, text) => request(machine, state, socket, text),
    canListen: () => Promise.resolve(true),
    hasAddress: (address) => Promise.resolve(hasAddress(machine, address)),
    exists: (pid) => kernel.processes.some((one) => one.pid === pid),
    signal: (pid) => {
      count(state, `signal ${pid}`);
      return endProcesses(kernel, (one) => pid < 0 ? one.group === -pid : one.pid === pid);
    },
    ...{
      listen: never("sockets to listen on"),
      http: never("services that speak HTTP"),
      serveHttp: never("sockets to serve HTTP on"),
      watch: never("programs to watch"),
      prepare: () => () => {},
      hold: never("programs to hold"),
    },
    ...{ start: never("programs to start"), onSignals: () => {} },
  };
}
