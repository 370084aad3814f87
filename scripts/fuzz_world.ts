/** A machine in memory for fuzzing: it takes note of all that would be done to it, and holds that to its rules. */
import type { Output, Stat, World } from "../src/plan/world.ts";
import { pick, type Random, smuggled } from "./fuzz_mutate.ts";

/** The machine, and what is wrong with what was done to it. */
export interface Machine {
  readonly world: World;
  readonly files: ReadonlyMap<string, string>;
  /** Puts a file there before anything begins, or damages one. */
  place(path: string, text: string): void;
  readonly wrong: readonly string[];
}

const host: Readonly<Record<string, string>> = {
  "/proc/sys/kernel/random/boot_id": "00000000-0000-4000-8000-000000000000\n",
  "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
  "/proc/self/net/dev": "a\nb\n    lo: 0\n  eth0: 0\n  cni0: 0\n",
  "/proc/self/net/route": "Iface\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
  "/proc/self/net/if_inet6": "20010db8000100000000000000000001 02 40 00 80     eth0\n",
  "/proc/self/net/fib_trie": "           |-- 192.0.2.1\n              /32 host LOCAL\n",
  "/proc/self/uid_map": "         0          0 4294967295\n",
  "/proc/4242/stat": "4242 (a b) S 1 4242 4242 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n",
  "/proc/4242/cmdline": "sh\0",
  ...link("lo", 1, "00:00:00:00:00:00", ""),
  ...link("eth0", 2, "02:00:00:00:00:02", ""),
  ...link("cni0", 3, "02:00:00:00:00:03", "bridge"),
};

function link(name: string, index: number, mac: string, kind: string): Readonly<Record<string, string>> {
  const at = `/sys/class/net/${name}`;
  return {
    ...{ [`${at}/ifindex`]: `${index}\n`, [`${at}/address`]: `${mac}\n`, [`${at}/mtu`]: "1500\n" },
    ...{ [`${at}/flags`]: "0x1003\n", [`${at}/uevent`]: kind === "" ? "" : `DEVTYPE=${kind}\n` },
  };
}

const namespaces: Readonly<Record<string, string>> = {
  ...{ "/proc/self/ns/net": "4:1", "/run/netns/box": "4:100", "/proc/4242/ns/net": "4:100" },
  "/proc/4242/fd/3": "4:100",
  ...{ "/proc/self/ns/user": "4:2", "/proc/4242/ns/user": "4:2" },
};

/** Directories in which the names are ours to make; elsewhere a configuration may say what it likes. */
const ours = /^\/(run\/ocinet|var\/lib\/cni|proc\/sys|sys\/class)\//;

/** More than any honest call takes, be it for each of 65,535 ports twice: who goes on is taken to hang. */
const mostCalls = 2_000_000;

/** Files by their paths, and what is in each directory, for a listing to cost what it returns. */
class Tree {
  readonly files = new Map<string, string>();
  readonly #directories = new Map<string, Set<string>>();

  constructor(files: Readonly<Record<string, string>>) {
    Object.entries(files).forEach(([path, text]) => this.write(path, text));
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(path);
  }

  names(path: string): readonly string[] {
    return [...this.#directories.get(path) ?? []];
  }

  write(path: string, text: string): void {
    this.files.set(path, text);
    this.#enter(path);
  }

  makeDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    this.#directories.set(path, new Set());
    this.#enter(path);
  }

  remove(path: string): void {
    this.names(path).forEach((name) => this.remove(`${path}/${name}`));
    this.files.delete(path);
    this.#directories.delete(path);
    const [directory, name] = split(path);
    this.#directories.get(directory)?.delete(name);
  }

  #enter(path: string): void {
    if (path === "") return;
    const [directory, name] = split(path);
    this.makeDirectory(directory);
    this.#directories.get(directory)!.add(name);
  }
}

function split(path: string): readonly [directory: string, name: string] {
  const at = path.lastIndexOf("/");
  return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)];
}

/**
 * @param clumsy how likely it is, from 0 to 1, that a program fails
 */
export function machine(
  random: Random,
  env: Readonly<Record<string, string>>,
  clumsy: number,
  uid = 0,
): Machine {
  const tree = new Tree(host);
  const { files } = tree;
  const wrong: string[] = [];
  let calls = 0;
  const at = (path: string): string => {
    if (++calls > mostCalls) throw new Hanging(`${calls} calls of the machine, and no end`);
    if (!path.startsWith("/")) wrong.push(`path ${JSON.stringify(path)} is not absolute`);
    if (path.includes("\0")) wrong.push(`path ${JSON.stringify(path)} is one that no runtime takes`);
    if (ours.test(path) && (smuggled.test(path) || /\/\.{0,2}(\/|$)/.test(path))) {
      wrong.push(`path ${JSON.stringify(path)}`);
    }
    return path;
  };
  const stat = (path: string): Stat | undefined => {
    const own = { uid, modified: 1, mode: 0o700 };
    const namespace = namespaces[at(path)];
    if (namespace !== undefined) return { kind: "other", identity: namespace, ...own };
    if (files.has(path)) return { kind: "file", identity: `1:${path.length}`, ...own };
    if (/^\/usr\/s?bin\/[a-z0-9]+$/.test(path)) return { kind: "file", identity: "1:1", ...own };
    return tree.isDirectory(path) ? { kind: "directory", identity: `1:${path.length}`, ...own } : undefined;
  };
  const run = (argv: readonly string[], stdin = ""): Promise<Output> => {
    if (++calls > mostCalls) throw new Hanging(`${calls} calls of the machine, and no end`);
    wrong.push(...problemsOf(argv, stdin));
    if (random() < clumsy) return Promise.resolve({ code: 1, stdout: "", stderr: pick(random, complaints) });
    return Promise.resolve({ code: 0, stdout: argv.join(" ").includes(" -j ") ? "[]" : "", stderr: "" });
  };
  const free = () => Promise.resolve(() => {});
  const world: World = {
    ...{
      runtime: "deno",
      pid: 99,
      uid,
      runtimePath: "/usr/bin/deno",
      self: ["/usr/bin/deno", "/usr/bin/ocinet"],
    },
    confined: (paths) => ["/usr/bin/deno", `--allow-read=${paths.map(at)}`, "/usr/bin/ocinet"],
    env: (name) => Object.hasOwn(env, name) ? env[name] : undefined,
    environment: () => env,
    read: (path) => files.get(at(path)),
    readBytes: (path) => files.get(at(path)),
    readStart: (path, bytes) => files.get(at(path))?.slice(0, bytes),
    list: (path) => tree.names(at(path)),
    stat,
    readLink: (path) => path === "/proc/self/cwd" ? "/own" : namespaces[at(path)],
    pin: (named) => {
      const path = named.replace(/\/\.?(?=\/|$)/g, "") || "/";
      const found = stat(path) ??
        (path === "/" ? { ...stat("/run/netns/box")!, kind: "directory" } : undefined);
      return found && { path, stat: { ...found, gid: 0, links: 1, isLink: false }, release: () => {} };
    },
    write: (path, text) => tree.write(at(path), text),
    create: (path, text) => files.has(at(path)) ? false : (tree.write(path, text), true),
    put: (path, text) => tree.write(at(path), text),
    symlink: (target, path) => tree.write(at(path), target),
    makeDirectory: (path) => tree.makeDirectory(at(path)),
    remove: (path) => tree.remove(at(path)),
    removeEmpty: (path) => tree.names(at(path)).length > 0 ? undefined : tree.remove(path),
    ...{ lock: free, tryLock: free, share: free, tryOwn: free },
    run: (argv, options) => run(argv, options?.stdin),
    ask: () => "",
    request: () => Promise.resolve('{"return":{"id":1}}'),
    canListen: () => Promise.resolve(true),
    hasAddress: (address) => Promise.resolve(address === "192.0.2.1"),
    signal: () => false,
    exists: (pid) => files.has(`/proc/${pid}/stat`),
    listen: () => Promise.resolve({ close: () => {} }),
    watch: () => ({ ended: Promise.resolve(), stop: () => {} }),
    hold: () => Promise.resolve({ pid: 4242, ended: Promise.resolve(), letGo: () => Promise.resolve() }),
    start: () => ({ pid: 4242, ended: Promise.resolve(0) }),
    onSignals: () => {},
  };
  return { world, files, place: (path, text) => tree.write(path, text), wrong };
}

/** What programs say when they fail, among them what a hostile one might. */
const complaints = [
  ...["Error: Nexthop has invalid gateway.\nCommand failed -:1\n", "RTNETLINK answers: File exists\n", ""],
  ...["/dev/stdin:3:1-2: Error: Could not process rule: No such file or directory\n", "\u001b]0;title\u0007"],
];

/** It goes on and on. */
export class Hanging extends Error {}

const tools = ["ip", "nft", "tc", "bridge"];

/** Lines as they are made: a verb or an object, and words with one blank between them. */
const forms: Readonly<Record<string, RegExp>> = {
  nft: /^(add|delete|flush|table|chain)( ([\w.:/@%+=,!|&<>()*;{}-]+|"[\w.:/@+ -]*"))+$/,
  other: /^(link|address|route|rule|neigh|tuntap|qdisc|class|filter|vlan|fdb|mdb)( ([\w.:/@%+=,-]+|""))+$/,
};

/** What the caller wrote must not become a line or a word of a tool's, a script, or an option. */
function problemsOf(argv: readonly string[], stdin: string): readonly string[] {
  const script = argv.indexOf("-c") + 1;
  return [
    ...(script > 0 && /ZQ/.test(argv[script]!) ? [`script ${JSON.stringify(argv[script])}`] : []),
    ...argv.filter((word) => word.startsWith("-ZQ") || word.includes("\0")).map((word) =>
      `argument ${JSON.stringify(word)} of ${argv[0]}`
    ),
    ...linesFor(argv, stdin),
  ];
}

function linesFor(argv: readonly string[], stdin: string): readonly string[] {
  const tool = argv.findLast((word) => tools.includes(word));
  if (tool === undefined) return [];
  const form = forms[tool] ?? forms["other"]!;
  return stdin.split("\n").filter((line) => line !== "" && (smuggled.test(line) || !form.test(line)))
    .map((line) => `line ${JSON.stringify(line)}`);
}
