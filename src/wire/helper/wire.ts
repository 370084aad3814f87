import { printJson } from "../cni/output.ts";
import { emptyResult, type Result } from "../cni/result.ts";
import { identifierProblem, linkNameProblem } from "../../net/names.ts";
import { parsePublish, type PortMapping, showMapping } from "../../net/port_mapping.ts";
import type { PortRange } from "./policy.ts";

/** The directory of the sockets of root's service: one socket per user, named by the user's number. */
export const helperDirectory = "/run/ocinet-helper";

/** The default policy file. */
export const helperPolicy = "/etc/ocinet/helper.conf";

/** The socket on which a user reaches root's service. */
export function helperSocket(uid: number): string {
  return `${helperDirectory}/${uid}`;
}

/** A user's request to root's service. */
export type HelperRequest = { readonly do: "show" } | Attach | Detach | ChangePorts;

/** Connects the network namespace of a process to a network until the process ends. */
export interface Attach {
  readonly do: "attach";
  /** A name that the user chooses. `detach` refers to it. */
  readonly id: string;
  readonly pid: number;
  readonly ifname: string;
  /** Absent: the first network that the policy grants and that has room. */
  readonly network?: string;
  readonly ports: readonly PortMapping[];
}

/** Undoes an attach. */
export interface Detach {
  readonly do: "detach";
  readonly id: string;
}

/** Publishes ports of an attached namespace, or stops publishing them. */
export interface ChangePorts {
  readonly do: "publish" | "unpublish";
  readonly id: string;
  readonly ports: readonly PortMapping[];
}

/** What a user is granted: how many more containers on each network, and which host ports. */
export interface Offer {
  readonly networks: readonly { readonly name: string; readonly free: number }[];
  readonly ports: readonly PortRange[];
}

/** The longest request in bytes, and the largest number of ports in one. */
export const longestRequest = 16384;
const mostPorts = 256;
/** Linux's PID_MAX_LIMIT. */
const highestPid = 4194304;
/** In characters. Other names are made from the id and must fit too. */
const longestId = 128;

/** The request as one line. */
export function writeRequest(request: HelperRequest): string {
  const json = "ports" in request ? { ...request, ports: request.ports.map(showMapping) } : request;
  return `${JSON.stringify(json)}\n`;
}

/** Reads a request; any byte may be hostile. @throws Error giving the reason */
export function parseRequest(line: string): HelperRequest {
  const json = parseObject(line);
  switch (json["do"]) {
    case "show":
      only(json, []);
      return { do: "show" };
    case "detach":
      only(json, ["id"]);
      return { do: "detach", id: readId(json["id"]) };
    case "publish":
    case "unpublish":
      only(json, ["id", "ports"]);
      return { do: json["do"], id: readId(json["id"]), ports: readPorts(json["ports"]) };
    case "attach": {
      only(json, ["id", "pid", "ifname", "network", "ports"]);
      const { id, pid, ifname, network, ports = [] } = json;
      return {
        ...{ do: "attach", id: readId(id), pid: readPid(pid), ifname: readLinkName(ifname) },
        ...(network === undefined ? {} : { network: readNetwork(network) }),
        ports: readPorts(ports),
      };
    }
    default:
      throw new Error(`Cannot do ${short(json["do"])}: there are show, attach, detach, publish, unpublish`);
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw new Error("Cannot read the request: it is not JSON");
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Readonly<Record<string, unknown>>;
  }
  throw new Error("Cannot read the request: it is not a JSON object");
}

function only(json: Readonly<Record<string, unknown>>, keys: readonly string[]): void {
  const other = Object.keys(json).find((key) => key !== "do" && !keys.includes(key));
  if (other !== undefined) {
    throw new Error(`Cannot use key ${short(other)}: ${short(json["do"])} has no such key`);
  }
}

function readId(value: unknown): string {
  const problem = typeof value !== "string"
    ? "it is not a string"
    : value.length > longestId
    ? `it is longer than ${longestId} characters`
    : identifierProblem(value);
  if (problem !== undefined) throw new Error(`Cannot use id ${short(value)}: ${problem}`);
  return value as string;
}

function readPid(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= highestPid) {
    return value as number;
  }
  throw new Error(`Cannot use pid ${short(value)}: it is not a number from 1 to ${highestPid}`);
}

function readLinkName(value: unknown): string {
  const problem = typeof value !== "string"
    ? "it is not a string"
    : value === "lo"
    ? "that is the loopback's"
    : linkNameProblem(value);
  if (problem !== undefined) throw new Error(`Cannot use ifname ${short(value)}: ${problem}`);
  return value as string;
}

function readNetwork(value: unknown): string {
  const problem = typeof value !== "string" ? "it is not a string" : identifierProblem(value);
  if (problem !== undefined) throw new Error(`Cannot use network ${short(value)}: ${problem}`);
  return value as string;
}

function readPorts(value: unknown): readonly PortMapping[] {
  if (!Array.isArray(value)) throw new Error(`Cannot use ports ${short(value)}: they are not a list`);
  const ports: PortMapping[] = [];
  for (const text of value) {
    if (typeof text !== "string" || text.length > 100) {
      throw new Error(`Cannot use port ${short(text)}: it is not a string as --publish has it`);
    }
    // A range of a few bytes can name all 65535 ports.
    ports.push(...parsePublish(text));
    if (ports.length > mostPorts) throw new Error(`Cannot publish more than ${mostPorts} ports at once`);
  }
  return ports;
}

/**
 * A hostile value for a message: one short line. A nested value may be too deep to print, so only its type is shown.
 */
function short(value: unknown): string {
  if (typeof value === "object") {
    return value === null ? "null" : Array.isArray(value) ? "a list" : "an object";
  }
  const text = value === undefined ? "nothing" : printJson(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The answer for success. */
export function writeAnswer(value: unknown): string {
  return `${JSON.stringify({ return: value })}\n`;
}

/** The answer for a failure. */
export function writeRefusal(reason: string): string {
  return `${JSON.stringify({ error: { desc: reason } })}\n`;
}

/** Reads an answer. @throws Error with the reason of a refusal */
function parseAnswer(text: string): unknown {
  if (text === "") throw new Error("it gave no answer; its log says why");
  const { return: value, error } = JSON.parse(text) as { return?: unknown; error?: { desc?: string } };
  if (error !== undefined) throw new Error(error.desc ?? "it refused");
  return value;
}

/** Reads what the user is granted. @throws Error with the reason of a refusal */
export function parseOffer(text: string): Offer {
  return { networks: [], ports: [], ...parseAnswer(text) as Partial<Offer> };
}

/**
 * Reads the result of an attach; `netns` is the path of the container's namespace.
 * @throws Error with the reason of a refusal
 */
export function parseResult(text: string, netns: string): Result {
  const result: Result = { ...emptyResult, ...parseAnswer(text) as Partial<Result> };
  return {
    ...result,
    interfaces: result.interfaces.map((link) =>
      link.sandbox === undefined ? link : { ...link, sandbox: netns }
    ),
  };
}
