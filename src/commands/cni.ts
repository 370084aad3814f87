import { identifierProblem, linkNameProblem, sha512 } from "../net/names.ts";
import { messageOf } from "../wire/cni/error.ts";
import { checkPairs } from "../wire/cni/args.ts";
import { parsePluginPath } from "../wire/cni/environment.ts";
import { fields, parseJson } from "../wire/cni/fields.ts";
import { printJson } from "../wire/cni/output.ts";
import { resultFor, versions } from "../wire/cni/result.ts";
import { type Option, type OptionValues, parseWords, UsageError } from "../wire/oci/options.ts";
import { asTyped } from "../engine/usage.ts";
import { absolutePath } from "../plan/files.ts";
import type { World } from "../plan/world.ts";
import { cachedList, readCache } from "../features/cni_runtime/cache.ts";
import {
  addNetwork,
  checkNetwork,
  delNetwork,
  gcNetwork,
  networkStatus,
} from "../features/cni_runtime/runtime.ts";
import { findList, type FoundList } from "../features/networks/conflists.ts";
import type { RuntimeCall } from "../features/cni_runtime/call.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** The options of `ocinet cni`; each outweighs the variable of the environment that it names. */
export const cniOptions: readonly Option[] = [
  option("ifname", "NAME", "CNI_IFNAME: the interface's name in the container (default: eth0)"),
  option("container-id", "ID", "CNI_CONTAINERID (default: made of the namespace's path, as cnitool does)"),
  option("path", "DIRS", "CNI_PATH: directories of third-party plugins"),
  option("netconf-path", "DIR", "NETCONFPATH: the directory of network files (default: /etc/cni/net.d)"),
  option("args", "PAIRS", "CNI_ARGS: K=V;K=V"),
  option("capability-args", "JSON", "CAP_ARGS: arguments for networks that have these capabilities"),
  option("cache-dir", "DIR", "where results are stored, in libcni's format (default: /var/lib/cni)"),
  { ...option("valid", "ATTACHMENT", "for gc: an attachment to keep, as CONTAINERID/IFNAME"), many: true },
];

function option(name: string, value: string, text: string): Option {
  return { name, value, text, many: false, annotation: false };
}

/** The verbs of `ocinet cni`. */
export const verbs = ["add", "del", "check", "gc", "status", "version"] as const;

type Verb = typeof verbs[number];

/**
 * Acts as a CNI runtime, with cnitool's environment: CNI_PATH, NETCONFPATH, CAP_ARGS, CNI_ARGS, CNI_IFNAME.
 * @param words verb, network and namespace
 * @throws Error for a verb, network or namespace that is none; CniError of the plugin that refuses
 */
export async function cni(
  world: World,
  words: readonly (string | undefined)[],
  given: OptionValues,
): Promise<Report> {
  const [verb, network, netns] = words;
  if (verb === "version") return { json: versionsJson, text: `${JSON.stringify(versionsJson)}\n` };
  if (!(verbs as readonly (string | undefined)[]).includes(verb)) {
    const [asked, why] = verb === undefined ? ["", "it needs one of"] : [` ${verb}`, "it is not one of"];
    throw new UsageError(`Cannot do "ocinet cni${asked}": ${why} ${verbs.join(", ")}`);
  }
  if (network === undefined) {
    throw new UsageError(`Cannot do "ocinet cni ${verb}": it needs the name of a network`);
  }
  const valid = (given.get("valid") ?? []).map(parseValid);
  const state = stateDirectory(world);
  const call = await callOf(world, verb as Verb, { network, netns: netns ?? "", given });
  switch (verb as Verb) {
    case "add": {
      const result = resultFor(call.list.cniVersion, await addNetwork(world, state, call));
      return { json: result, text: `${printJson(result)}\n` };
    }
    case "del":
      return done(await delNetwork(world, state, call));
    case "check":
      return done(await checkNetwork(world, state, call));
    case "status":
      return done(await networkStatus(world, state, call));
    default:
      return done(await gcNetwork(world, state, call, valid));
  }
}

/** The same for a script's call, without what only people need. @throws UsageError for options that are none */
export async function cniByWords(world: World, argv: readonly string[]): Promise<string> {
  const isOption = (word: string | undefined) => word?.startsWith("-") ?? false;
  const isValue = (at: number) => isOption(argv[at - 1]) && !argv[at - 1]!.includes("=");
  const isWord = (word: string, at: number) => !isOption(word) && !isValue(at);
  const options = argv.filter((word, at) => !isWord(word, at));
  const { text } = await cni(world, argv.filter(isWord), parseWords(options, cniOptions));
  return text;
}

const versionsJson = { cniVersion: versions.at(-1), supportedVersions: versions };

function done(_: void): Report {
  return { json: {}, text: "" };
}

function parseValid(text: string): { containerID: string; ifname: string } {
  const [containerID, ifname = "eth0"] = text.split("/");
  if (!containerID || identifierProblem(containerID) || linkNameProblem(ifname)) {
    throw new UsageError(
      `Cannot keep attachment ${JSON.stringify(text)}: it is not CONTAINERID or CONTAINERID/IFNAME`,
    );
  }
  return { containerID, ifname };
}

/** What a call is about. */
interface Subject {
  readonly network: string;
  readonly netns: string;
  readonly given: OptionValues;
}

async function callOf(world: World, verb: Verb, subject: Subject): Promise<RuntimeCall> {
  const { network, netns, given } = subject;
  const value = (name: string, variable: string) => given.get(name)?.at(-1) ?? world.env(variable) ?? "";
  const ifname = value("ifname", "CNI_IFNAME") || "eth0";
  const id = value("container-id", "CNI_CONTAINERID");
  const containerId = id || await cnitoolId(netns);
  const nameProblem = identifierProblem(network);
  if (nameProblem) throw new UsageError(`Cannot use network ${JSON.stringify(network)}: ${nameProblem}`);
  for (const problem of [linkNameProblem(ifname), identifierProblem(containerId)]) {
    if (problem) throw new UsageError(`Cannot call plugins for "${containerId}" "${ifname}": ${problem}`);
  }
  checkNetns(verb, netns, id);
  const cacheDirectory = absolutePath(world, given.get("cache-dir")?.at(-1) || "/var/lib/cni");
  const directory = absolutePath(world, value("netconf-path", "NETCONFPATH") || "/etc/cni/net.d");
  const args = value("args", "CNI_ARGS");
  if (verb === "add") asTyped(() => checkPairs(args));
  const capabilityArgs = asTyped(() => parseObject(value("capability-args", "CAP_ARGS") || "{}"));
  const call = { containerId, ifname, netns, cacheDirectory };
  const { list, text } = verb === "del"
    ? findAgain(world, directory, { ...call, list: { name: network } })
    : findList(world, directory, network);
  return {
    ...{ ...call, args, list, config: text },
    capabilityArgs,
    path: parsePluginPath(value("path", "CNI_PATH")),
  };
}

/** Without a namespace nothing can be added; and the container's id is made of its path. */
function checkNetns(verb: Verb, netns: string, id: string): void {
  const needed = verb === "add" || verb === "check" || (verb === "del" && id === "");
  if (needed && netns === "") {
    throw new UsageError(`Cannot do "ocinet cni ${verb}": it needs the path of a network namespace`);
  }
  if (netns !== "" && !netns.startsWith("/")) {
    throw new UsageError(
      `Cannot use namespace "${netns}": it is not an absolute path; a named one is in /run/netns`,
    );
  }
}

/** A network whose file is gone, or says nothing any more, is still known by what is kept of the attachment. */
function findAgain(world: World, directory: string, call: Parameters<typeof readCache>[1]): FoundList {
  try {
    return findList(world, directory, call.list.name);
  } catch (error) {
    const cached = readCache(world, call);
    const list = cached && cachedList(cached);
    if (!list) throw new Error(messageOf(error));
    return { list, text: cached.config };
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  const json = parseJson(text, "CAP_ARGS");
  fields(json, "CAP_ARGS");
  return json as Record<string, unknown>;
}

/** cnitool's name for the container of a namespace: the first ten bytes of the path's SHA-512. */
async function cnitoolId(netns: string): Promise<string> {
  return `cnitool-${(await sha512(netns)).slice(0, 20)}`;
}
