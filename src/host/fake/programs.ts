/**
 * The programs of the machine in memory: what they do with the words and the input that this program gives them. In one file,
 * a function for each.
 */
import { addressOf } from "../../net/address.ts";
import type { Output } from "../../plan/world.ts";
import { BadWord, runIp } from "./ip.ts";
import {
  endProcesses,
  type FakeLink,
  type Kernel,
  linkNamed,
  moveLink,
  type Namespace,
  namespaceOf,
  Refusal,
  setUp,
  startProcess,
} from "./kernel.ts";
import { listNft, runNft } from "./nft.ts";
import { readSysctl, writeSysctl } from "./proc.ts";
import { runBridge, runTc } from "./tc.ts";
import type { Tree } from "./tree.ts";

/** How a program goes wrong in the midst of its input. `at` says where in it, from 0 to 1. */
export interface Trouble {
  /** It dies by a signal there, or the kernel refuses what it does there. */
  readonly how: "dies" | "refused";
  readonly at: number;
}

/** Where a program runs. */
export interface Caller {
  readonly kernel: Kernel;
  readonly tree: Tree;
  readonly namespace: Namespace;
  /** The inode of the network namespace at a path, or of the process with a number. */
  inodeAt(path: string): number | undefined;
  readonly trouble?: Trouble;
}

/** A program that is not known: a test has to be told. */
export class UnknownProgram extends Error {}

const done: Output = { code: 0, stdout: "", stderr: "" };

/** What a program that was killed leaves. */
export const killed: Output = { code: 137, stdout: "", stderr: "" };

const busy = "Device or resource busy";

function said(stdout: string): Output {
  return { ...done, stdout };
}

function failed(code: number, stderr: string): Output {
  return { code, stdout: "", stderr };
}

/** Runs a program to its end. @throws UnknownProgram */
export function runProgram(caller: Caller, argv: readonly string[], stdin = ""): Output {
  const [program, ...words] = argv;
  const run = programs[program!.slice(program!.lastIndexOf("/") + 1)];
  if (!run) throw new UnknownProgram(`no program "${argv.join(" ")}"`);
  return run(caller, words, stdin);
}

type Program = (caller: Caller, words: readonly string[], stdin: string) => Output;

const programs: Readonly<Record<string, Program>> = {
  ip: batching((caller, options, words) => runIp({ ...caller, options }, words)),
  tc: batching((caller, _, words) => runTc(caller.namespace, words)),
  bridge: batching((caller, _, words) => runBridge(caller.namespace, words)),
  nft,
  nsenter,
  sh,
  unshare: (caller, words, stdin) =>
    runProgram(caller, words.filter((word) => !word.startsWith("--")), stdin),
  conntrack,
  true: () => done,
  env: (caller, words, stdin) => runProgram(caller, words.filter((word) => !word.startsWith("--")), stdin),
  cat: ({ tree, kernel, namespace }, [path]) => {
    const text = readSysctl(kernel, namespace.inode, path!.replace("/proc/sys/", "")) ??
      tree.entry(path!)?.text;
    return text === undefined ? failed(1, `cat: ${path}: No such file or directory\n`) : said(text);
  },
};

/** A program that takes one command from its words, or a line each from its input. */
function batching(
  act: (caller: Caller, options: readonly string[], words: readonly string[]) => string,
): Program {
  return (caller, words, stdin) => {
    const first = words.findIndex((word) => !word.startsWith("-"));
    const options = first < 0 || words.includes("-batch") ? words : words.slice(0, first);
    const lines = words.includes("-batch")
      ? stdin.split("\n").filter((line) => line !== "").map((line) => line.split(" "))
      : [words.slice(first)];
    return runLines(caller, words.includes("-batch"), options, lines, act);
  };
}

function runLines(
  caller: Caller,
  isBatch: boolean,
  options: readonly string[],
  lines: readonly (readonly string[])[],
  act: (caller: Caller, options: readonly string[], words: readonly string[]) => string,
): Output {
  const output = { code: 0, stdout: "", stderr: "" };
  const stop = caller.trouble && Math.min(lines.length - 1, Math.floor(caller.trouble.at * lines.length));
  for (const [i, words] of lines.entries()) {
    try {
      if (i === stop && caller.trouble!.how === "dies") return { ...output, ...killed };
      if (i === stop) throw new Refusal(`RTNETLINK answers: ${busy}`);
      output.stdout += act(caller, options, words);
    } catch (error) {
      if (error instanceof BadWord) {
        return { ...output, code: 255, stderr: `${output.stderr}${error.message}\n` };
      }
      if (!(error instanceof Refusal)) throw error;
      output.code = isBatch ? 1 : 2;
      output.stderr += `${error.message}\n${isBatch ? `Command failed -:${i + 1}\n` : ""}`;
      if (!options.includes("-force")) return output;
    }
  }
  return output;
}

function nft({ namespace, trouble }: Caller, words: readonly string[], stdin: string): Output {
  if (trouble?.how === "dies") return killed;
  if (trouble) {
    const line = 1 + Math.floor(trouble.at * (stdin.split("\n").length - 1));
    return failed(1, `/dev/stdin:${line}:1-9: Error: Could not process rule: ${busy}\n`);
  }
  if (["get", "delete"].includes(words[0]!)) return runNft(namespace, words.join(" "));
  return words.join(" ").endsWith("-f -")
    ? runNft(namespace, stdin)
    : listNft(namespace, words.includes("list") ? words.slice(words.indexOf("list")) : words);
}

function nsenter(caller: Caller, words: readonly string[], stdin: string): Output {
  const first = words.findIndex((word) => !word.startsWith("--"));
  const path = words.find((word) => word.startsWith("--net="))?.slice(6);
  const inode = path === undefined ? caller.namespace.inode : caller.inodeAt(path);
  if (inode === undefined) return failed(1, `nsenter: cannot open ${path}: No such file or directory\n`);
  return runProgram({ ...caller, namespace: namespaceOf(caller.kernel, inode) }, words.slice(first), stdin);
}

function conntrack({ kernel, trouble }: Caller, words: readonly string[]): Output {
  if (trouble) {
    return trouble.how === "dies" ? killed : failed(1, `conntrack v1.4.7: Operation failed: ${busy}\n`);
  }
  const [address, port] = ["--orig-dst", "--orig-port-dst"].map((key) => words[words.indexOf(key) + 1]);
  const isIt = (flow: string) =>
    (!words.includes("--orig-port-dst") || flow.includes(` dport=${port} `)) &&
    (!words.includes("--orig-dst") || flow.includes(` dst=${address} `));
  if (words[0] === "-D") kernel.flows = kernel.flows.filter((flow) => !isIt(flow));
  return said(kernel.flows.filter(isIt).map((flow) => `${flow}\n`).join(""));
}

/** A script is known by a part of it. */
const scripts: readonly (readonly [part: string, run: Program])[] = [
  ["f=/proc/sys/${k#?}", setSysctls],
  ["ip -d -j address;", lookInside],
  ['exec ip link set dev "$link" netns "$PPID" name "$2"', comeBack],
  ['exec ip link set dev "$link" netns "$PPID" name "$name"', leave],
  ['exec ip link set dev "$link" name "$1"; sleep', findReturned],
  ["link=$1 name=$2 mac=$3; shift 3", restore],
  ['ip -o link show master "$1"', removeEmptyVrf],
  ["no default route interface found", addOnDefault],
  ["mkfifo life ready", startClient],
  ['cat "$1" 2>/dev/null || { cat "$2"', tellLease],
  ['[ ! -e "$1/lease" ]', lendAddress],
  ["echo begun; for line", () => said("begun\n")],
  ["another one has been starting", startResolver],
];

function sh(caller: Caller, [flag, script, , ...args]: readonly string[], stdin: string): Output {
  const found = flag === "-c" && scripts.find(([part]) => script!.includes(part));
  if (!found) throw new UnknownProgram(`no script "${script}"`);
  return found[1](caller, args, stdin);
}

function fails(trouble: Trouble | undefined): Output | undefined {
  if (!trouble) return undefined;
  return trouble.how === "dies" ? killed : failed(2, `RTNETLINK answers: ${busy}\n`);
}

/** Sysctls, then another program; see batch.ts. */
function setSysctls(caller: Caller, args: readonly string[], stdin: string): Output {
  const end = args.indexOf("--");
  let code = 0;
  for (let i = 0; i < end; i++) {
    const [, how, key, value] = /^(.)([^=]*)=(.*)$/s.exec(args[i]!)!;
    const now = readSysctl(caller.kernel, caller.namespace.inode, key!)?.trim();
    if (how === "<" && now !== args[++i]?.slice(1).trim()) continue;
    if (how === "?" && now === undefined) continue;
    if (now === undefined) {
      return failed(9, `sh: 1: cannot create /proc/sys/${key}: Directory nonexistent\nsysctl !${key}\n`);
    }
    if (caller.trouble?.how === "dies" && i + 1 >= caller.trouble.at * end) return killed;
    writeSysctl(caller.kernel, caller.namespace.inode, key!, value!);
  }
  const output = runProgram(caller, args.slice(end + 1), stdin);
  if (caller.trouble && args[end + 1] === "true") code = 9;
  return output.code === 0 && code !== 0
    ? { ...output, code, stderr: "sh: 1: echo: echo: I/O error\n" }
    : output;
}

function lookInside(caller: Caller, keys: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const ip = (options: readonly string[], words: readonly string[]) => runIp({ ...caller, options }, words);
  const families = ["-4", "-6"].map((of) =>
    `--\n${ip([of, "-j"], ["route", "show", "table", "all"])}${ip([of, "-j"], ["rule"])}`
  );
  const values = keys.map((key) => `--\n${readSysctl(caller.kernel, caller.namespace.inode, key) ?? ""}`);
  return said(ip(["-d", "-j"], ["address"]) + families.join("") + values.join(""));
}

/** See device_identity.ts: devices have no names here, so a link is known by its index and its MAC address. */
function findLink({ links }: Namespace, words: readonly string[]): FakeLink | undefined {
  const [index, mac] = [Number(words[2]), words[5]];
  return links.find((link) => link.index === index && link.mac === mac) ??
    links.find((link) => link.index === index || link.mac === mac);
}

function comeBack(caller: Caller, words: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const link = findLink(caller.namespace, words);
  return link ? moveOut(caller, link.name, words.at(-1)!) : done;
}

function moveOut({ kernel, namespace }: Caller, from: string, name: string): Output {
  try {
    moveLink(kernel, namespace, linkNamed(namespace, from)!, namespaceOf(kernel, kernel.own), name);
    return done;
  } catch (error) {
    if (error instanceof Refusal) return failed(2, `${error.message}\n`);
    throw error;
  }
}

function leave(caller: Caller, [ifname, wanted]: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const link = linkNamed(caller.namespace, ifname!);
  if (!link || link.alias === "" || (wanted !== "" && link.alias !== wanted)) return done;
  const name = link.alias;
  link.alias = "";
  return moveOut(caller, ifname!, name);
}

function findReturned(caller: Caller, words: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const [interim, name] = words.slice(-2) as [string, string];
  const link = linkNamed(caller.namespace, interim) ? undefined : findLink(caller.namespace, words);
  if (link && !(link.name === name && link.alias === "")) link.name = interim;
  return done;
}

/** See host_device.ts. */
function restore(caller: Caller, [name, , mac, ...words]: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  if (!linkNamed(caller.namespace, name!)) return done;
  const set = (rest: readonly string[]) =>
    runIp({ ...caller, options: [] }, ["link", "set", "dev", name!, ...rest]);
  if (mac !== "") set(["address", mac!]);
  set(words);
  return done;
}

/** See vrf.ts. */
function removeEmptyVrf(caller: Caller, [name]: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const { namespace } = caller;
  const vrf = linkNamed(namespace, name!);
  if (!vrf) return failed(1, `Device "${name}" does not exist.\n`);
  if (!namespace.links.some(({ master }) => master === vrf.index)) {
    runIp({ ...caller, options: [] }, ["link", "del", "dev", name!]);
  }
  return done;
}

/** See master.ts. */
function addOnDefault(caller: Caller, words: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const { routes, links } = caller.namespace;
  const index = routes.find(({ dst }) => dst === "0.0.0.0/0")?.index;
  const master = links.find((link) => link.index === index)?.name;
  if (master === undefined) return failed(1, "no default route interface found\n");
  runIp({ ...caller, options: [] }, ["link", "add", "link", master, ...words]);
  return done;
}

/** See dhcp_client.ts; the server gives each client an address of its own. */
function startClient(caller: Caller, [directory, netns, ifname]: readonly string[]): Output {
  const { kernel, tree, trouble } = caller;
  if (trouble?.how === "refused") {
    return failed(1, `mkfifo: cannot create fifo 'life': ${busy}\n`);
  }
  tree.makeDirectory(directory!);
  if (trouble && trouble.at < 0.5) return killed;
  const client = startProcess(kernel, `udhcpc -i ${ifname} -p ${directory}/pid`, caller.inodeAt(netns!)!);
  tree.write(`${directory}/pid`, `${client.pid}\n`, 0o600);
  tree.write(`${directory}/lease`, `ip=10.9.0.${client.pid % 250}\0mask=24\0router=10.9.0.254\0`, 0o600);
  tree.write(`${directory}/address`, `10.9.0.${client.pid % 250}/24\n`, 0o600);
  return trouble ? killed : done;
}

/** See resolver_program.ts. */
function startResolver({ kernel, tree, trouble }: Caller, [, directory]: readonly string[]): Output {
  const socket = `${directory}/socket`;
  if (trouble?.how === "refused") return failed(1, `Error: ${busy}\n`);
  if (kernel.processes.some(({ cmdline }) => cmdline.endsWith(` ${socket}`))) return trouble ? killed : done;
  tree.makeDirectory(directory!);
  if (trouble && trouble.at < 0.5) return killed;
  const { pid } = startProcess(kernel, `resolver ${socket}`, kernel.own);
  tree.write(`${directory}/pid`, `${pid}\n${pid}\n`, 0o600);
  tree.write(socket, "", 0o600);
  return trouble ? killed : done;
}

/** What the resolver answers at a socket, where it runs. It ends when no network has a member whose names it tells. */
export function askResolver(kernel: Kernel, tree: Tree, socket: string, request: string): string | undefined {
  if (!kernel.processes.some(({ cmdline }) => cmdline === `resolver ${socket}`)) return undefined;
  const names = `${socket.slice(0, -"/resolver/socket".length)}/names`;
  const isMember = (network: string) => (name: string) =>
    tree.entry(`${names}/${network}/${name}`)?.text.startsWith("# {") === true;
  if (!tree.names(names).some((network) => tree.names(`${names}/${network}`).some(isMember(network)))) {
    endProcesses(kernel, ({ cmdline }) => cmdline === `resolver ${socket}`);
    [socket, `${socket.slice(0, -"socket".length)}pid`].forEach((path) => tree.remove(path));
  }
  const { network } = (JSON.parse(request) as { readonly arguments: { readonly network: string } }).arguments;
  const hasOthers = !tree.names(`${names}/${network}`).every(isMember(network));
  return JSON.stringify({ return: hasOthers ? { hasOthers } : {} });
}

function tellLease(caller: Caller, [lease]: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  const text = caller.tree.entry(lease!)?.text;
  return trouble ?? (text === undefined ? failed(1, "no lease\n") : said(text));
}

function lendAddress(caller: Caller, [directory, ifname]: readonly string[]): Output {
  const trouble = fails(caller.trouble);
  if (trouble) return trouble;
  const address = caller.tree.entry(`${directory}/address`)?.text.trim();
  const link = linkNamed(caller.namespace, ifname!);
  if (caller.tree.entry(`${directory}/lease`) === undefined) return done;
  if (!link) return failed(1, `Cannot find device "${ifname}"\n`);
  setUp(caller.namespace, link, true);
  runIp({ ...caller, options: [] }, ["address", "replace", `${addressOf(address!)}/24`, "dev", ifname!]);
  return done;
}
