import { identifierProblem, linkNameProblem, longestId } from "../../net/names.ts";
import { CniError } from "./error.ts";

/** The commands of a plugin. */
export const commands = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"] as const;

export type Command = typeof commands[number];

/** A plugin's environment. Variables that the command does not need may be "". */
export interface Environment {
  /** May be unknown: like the reference, we refuse an unknown command only after reading the configuration. */
  readonly command: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS as written. */
  readonly args: string;
  /** The plugin directories, in search order. Relative ones are skipped: they would depend on the working directory. */
  readonly path: readonly string[];
  /** The caller states that CNI_NETNS may be the caller's own namespace. */
  readonly netnsOverride: boolean;
}

/** One call of one of our plugins by a CNI runtime. The environment and the network's name have been checked. */
export interface PluginCall {
  readonly type: string;
  readonly command: Command;
  readonly environment: Environment;
  readonly request: Readonly<Record<string, unknown>>;
  readonly network: string;
  readonly version: string;
  /** Directories in which a plugin's file takes precedence over our type of that name; CNI_PATH by default. */
  readonly overriding?: readonly string[];
}

/** The commands that need each variable, in the order in which the reference reports missing ones (skel.go). */
const needed: Readonly<Record<string, readonly string[]>> = {
  CNI_CONTAINERID: ["ADD", "CHECK", "DEL"],
  CNI_NETNS: ["ADD", "CHECK"],
  CNI_IFNAME: ["ADD", "CHECK", "DEL"],
  CNI_PATH: ["ADD", "CHECK", "DEL", "GC", "STATUS"],
};

/** Reads a plugin's environment. @throws CniError code 4 for a missing or invalid variable, in the reference's words */
export function parseEnvironment(env: (name: string) => string | undefined): Environment {
  const get = (name: string) => env(name) ?? "";
  const command = get("CNI_COMMAND");
  const needs = (name: string) => needed[name]!.includes(command);
  const [containerId, ifname] = [get("CNI_CONTAINERID"), get("CNI_IFNAME")];
  if (needs("CNI_CONTAINERID") && containerId !== "") checkContainerId(containerId);
  if (needs("CNI_IFNAME") && ifname !== "") checkIfname(ifname);
  const missing = Object.keys(needed).filter((name) => needs(name) && get(name) === "");
  if (command === "") missing.unshift("CNI_COMMAND");
  if (missing.length > 0) {
    throw new CniError("invalidEnvironment", `required env variables [${missing.join(",")}] missing`);
  }
  return {
    command,
    containerId,
    netns: get("CNI_NETNS"),
    ifname,
    args: get("CNI_ARGS"),
    path: parsePluginPath(get("CNI_PATH")),
    netnsOverride: /^(1|true)$/i.test(get("CNI_NETNS_OVERRIDE")),
  };
}

/** The directories of a CNI_PATH. Relative ones are skipped: they would depend on the working directory. */
export function parsePluginPath(text: string): readonly string[] {
  return text.split(":").filter((directory) => directory.startsWith("/"));
}

function checkContainerId(id: string): void {
  if (identifierProblem(id) === undefined) return;
  const message = identifierProblem(id.slice(0, longestId)) === undefined
    ? "containerID is too long"
    : "invalid characters in containerID";
  throw new CniError("invalidEnvironment", message, id);
}

function checkIfname(name: string): void {
  const problem = linkNameProblem(name);
  if (problem === undefined) return;
  const details = problem.endsWith("too long") ? "interface name should be less than 16 characters" : "";
  throw new CniError("invalidEnvironment", problem, details);
}

/** Checks the command; call it after all other checks. @throws CniError code 4 for an unknown command */
export function parseCommand(text: string): Command {
  const found = commands.find((command) => command === text);
  if (found === undefined) throw new CniError("invalidEnvironment", `unknown CNI_COMMAND: ${text}`);
  return found;
}
