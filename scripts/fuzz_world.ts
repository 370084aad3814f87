/** A machine in memory for fuzzing: it takes note of all that would be done to it, and holds that to its rules. */
import { addAddress, addLink, mainTable, namespaceOf, setUp, startProcess } from "../src/host/fake/kernel.ts";
import { UnknownProgram } from "../src/host/fake/programs.ts";
import { type Fake, newFake } from "../src/host/fake.ts";
import type { Output, World } from "../src/plan/world.ts";
import { pick, type Random, smuggled } from "./fuzz_mutate.ts";

/** The machine, and what is wrong with what was done to it. */
export interface Machine {
  readonly world: World;
  readonly files: ReadonlyMap<string, string>;
  /** Puts a file there before anything begins, or damages one. */
  place(path: string, text: string): void;
  readonly wrong: readonly string[];
}

/** Directories in which the names are ours to make; elsewhere a configuration may say what it likes. */
const ours = /^\/(run\/ocinet|var\/lib\/cni|proc\/sys|sys\/class)\//;

/** More than any honest call takes, be it for each of 65,535 ports twice: who goes on is taken to hang. */
const mostCalls = 2_000_000;

/** A host with an uplink, a bridge, and a container whose first process has the number that inputs name. */
function newHost(env: Readonly<Record<string, string>>, uid: number): Fake {
  const fake = newFake({ env, uid, firstPid: 99 });
  const { kernel } = fake;
  const host = namespaceOf(kernel, kernel.own);
  const uplink = addLink(kernel, host, "eth0", "");
  for (const link of [uplink, addLink(kernel, host, "cni0", "bridge")]) setUp(host, link, true);
  ["192.0.2.1/24", "2001:db8:1::1/64"].forEach((address) => addAddress(host, uplink, address));
  const attributes = [["via", "192.0.2.1"]] as const;
  host.routes.push({ dst: "0.0.0.0/0", index: uplink.index, table: mainTable, type: "unicast", attributes });
  const box = kernel.mounts[fake.addNamespace("box")]!;
  kernel.mounts["/proc/4242/fd/3"] = box;
  kernel.nextPid = 4242;
  startProcess(kernel, "sh", box);
  return fake;
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
  const fake = newHost(env, uid);
  const wrong: string[] = [];
  let calls = 0;
  const count = () => {
    if (++calls > mostCalls) throw new Hanging(`${calls} calls of the machine, and no end`);
  };
  const at = (path: string): string => {
    count();
    wrong.push(...problemsOfPath(path));
    return path;
  };
  const run: World["run"] = async (argv, options = {}) => {
    count();
    wrong.push(...problemsOf(argv, options.stdin ?? ""));
    if (random() < clumsy) return { code: 1, stdout: "", stderr: pick(random, complaints) };
    return await runIfKnown(fake, argv, options);
  };
  const world = { ...guarded(fake.world, at), run };
  return {
    ...{ world, wrong, place: fake.place },
    get files() {
      return new Map(fake.tree.files());
    },
  };
}

function problemsOfPath(path: string): readonly string[] {
  const smuggles = ours.test(path) && (smuggled.test(path) || /\/\.{0,2}(\/|$)/.test(path));
  return [
    ...(path.startsWith("/") ? [] : [`path ${JSON.stringify(path)} is not absolute`]),
    ...(path.includes("\0") ? [`path ${JSON.stringify(path)} is one that no runtime takes`] : []),
    ...(smuggles ? [`path ${JSON.stringify(path)}`] : []),
  ];
}

/** A program that the machine does not have has done what it was told. */
async function runIfKnown(fake: Fake, ...[argv, options]: Parameters<World["run"]>): Promise<Output> {
  try {
    return await fake.world.run(argv, options);
  } catch (error) {
    if (error instanceof UnknownProgram) return { code: 0, stdout: "", stderr: "" };
    throw error;
  }
}

/** The world with every path looked at; what it has no part of answers as if all were well. */
function guarded(world: World, at: (path: string) => string): World {
  const plain = (named: string) => named.replace(/\/\.?(?=\/|$)/g, "") || "/";
  return {
    ...world,
    confined: (paths) => ["/usr/bin/deno", `--allow-read=${paths.map(at)}`, "/usr/bin/ocinet"],
    env: (name) => world.env(name),
    read: (path) => world.read(at(path)),
    readBytes: (path) => world.readBytes(at(path)),
    readStart: (path, bytes) => world.readStart(at(path), bytes),
    list: (path) => world.list(at(path)),
    stat: (path) => world.stat(at(path)) ?? (program.test(path) ? world.stat("/usr/sbin/ip") : undefined),
    readLink: (path) => world.readLink(at(path)),
    pin: (path) => world.pin(at(plain(path))),
    write: (path, text) => world.write(at(path), text),
    create: (path, text) => world.create(at(path), text),
    put: (path, text) => world.put(at(path), text),
    symlink: (target, path) => world.symlink(target, at(path)),
    makeDirectory: (path) => world.makeDirectory(at(path)),
    remove: (path) => world.remove(at(path)),
    removeEmpty: (path) => world.removeEmpty(at(path)),
    request: () => Promise.resolve('{"return":{"id":1}}'),
    listen: () => Promise.resolve({ close: () => {} }),
    watch: () => ({ ended: Promise.resolve(), stop: () => {} }),
    hold: () => Promise.resolve({ pid: 4242, ended: Promise.resolve(), letGo: () => Promise.resolve() }),
    start: () => ({ pid: 4242, ended: Promise.resolve(0) }),
  };
}

/** Every program is there. */
const program = /^\/usr\/s?bin\/[a-z0-9]+$/;

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
  nft: /^(add|create|delete|flush|list|table|chain)( ([\w.:/@%+=,!|&<>()*;{}-]+|"[\w.:/@+ -]*"[,;]?))+$/,
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
