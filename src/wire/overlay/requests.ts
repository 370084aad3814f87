/** What the overlay types of CNI ask the agent of their host, and what it answers: a line of JSON each. */
import { CniError } from "../cni/error.ts";
import { identifierProblem, linkNameProblem, parseMac } from "../../net/names.ts";
import { parseAddress, parseCidr } from "../../net/address.ts";

/** How a person starts the agent. */
export const startAgent =
  'start it with "ocinet agent", which has to run on each host of the cluster while containers start';

/** Where the agent listens. @param stateDirectory where containers' records are, if that is not the usual place */
export function agentSocket(stateDirectory: string | undefined): string {
  return `${(stateDirectory || "/run/ocinet").replace(/(?<=.)\/+$/, "")}/agent.sock`;
}

/** The longest request in bytes. */
export const longestRequest = 4096;

/** An attachment to an overlay network. */
export interface Owner {
  readonly network: string;
  readonly id: string;
  readonly ifname: string;
}

/** What can be asked. */
export type AgentRequest =
  /** To have the network's links on this host. */
  | { readonly do: "join"; readonly network: string }
  /** To have an address of each of its subnets, or those that are wished for. */
  | { readonly do: "claim"; readonly wanted: readonly string[] } & Owner
  | { readonly do: "release" } & Owner
  /** To have the host's WireGuard use a new key. */
  | { readonly do: "rotate" }
  /** To have the host leave the cluster, and the agent end. */
  | { readonly do: "leave"; readonly force: boolean }
  | { readonly do: "status" };

/** What a driver has to know of a network. */
export interface Joined {
  readonly bridge: string;
  readonly mac: string;
  readonly mtu: number;
  readonly internal: boolean;
}

/** Addresses with prefix lengths and their gateways, and the MAC address that goes with them. */
export interface Claimed {
  readonly mac: string;
  readonly ips: readonly { readonly address: string; readonly gateway: string }[];
}

/** One line. */
export function writeRequest(request: AgentRequest): string {
  return `${JSON.stringify(request)}\n`;
}

/** Reads a request of which every byte may be hostile. @throws Error giving the reason */
export function parseRequest(line: string): AgentRequest {
  const json = parseObject(line);
  const verb = json["do"];
  if (verb === "status" || verb === "rotate") return { do: verb };
  if (verb === "leave") return { do: verb, force: json["force"] === true };
  const network = identifier(json["network"], "network");
  if (verb === "join") return { do: verb, network };
  const id = identifier(json["id"], "container id");
  const ifname = String(json["ifname"]);
  const problem = linkNameProblem(ifname);
  if (problem !== undefined) {
    throw new Error(`Cannot use interface name ${JSON.stringify(ifname)}: ${problem}`);
  }
  if (verb === "release") return { do: verb, network, id, ifname };
  if (verb !== "claim") throw new Error(`Cannot do ${JSON.stringify(verb)}: it is no request`);
  const wanted = Array.isArray(json["wanted"]) ? json["wanted"].map(wantedAddress) : [];
  return { do: verb, network, id, ifname, wanted };
}

function wantedAddress(value: unknown): string {
  const address = parseAddress(String(value));
  if (address === undefined) throw new Error(`Cannot use address ${JSON.stringify(value)}: it is none`);
  return address;
}

function identifier(value: unknown, what: string): string {
  const text = typeof value === "string" ? value : "";
  const problem = identifierProblem(text);
  if (problem !== undefined) throw new Error(`Cannot use ${what} ${JSON.stringify(value)}: ${problem}`);
  return text;
}

/** The object of a JSON text. @throws Error when it is none */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("Cannot read what is no JSON");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new Error("Cannot read JSON that is no object");
  }
  return json as Readonly<Record<string, unknown>>;
}

/** An answer: a value, or why there is none, with CNI's code unless that is the usual one. */
export function writeAnswer(
  answer: { readonly value: unknown } | { readonly error: string; readonly code?: number },
): string {
  return `${JSON.stringify(answer)}\n`;
}

/** What an answer tells. @throws CniError with the agent's own words when it refuses */
export function parseAnswer(text: string): unknown {
  if (text.trim() === "") throw new Error("the agent gave no answer; its log says why");
  const { error, code, ...json } = parseObject(text);
  if (typeof error === "string") throw new CniError(Number(code) || "internal", error);
  return json["value"];
}

/** @throws Error for what is no such answer */
export function parseJoined(value: unknown): Joined {
  const { bridge, mac, mtu, internal } = value as Partial<Joined>;
  const ok = linkNameProblem(bridge ?? "") === undefined && parseMac(mac ?? "") && Number.isInteger(mtu);
  if (!ok) throw new Error("Cannot read the agent's answer");
  return { bridge: bridge!, mac: mac!, mtu: mtu!, internal: internal === true };
}

/** @throws Error for what is no such answer */
export function parseClaimed(value: unknown): Claimed {
  const { mac, ips } = value as Partial<Claimed>;
  const ok = parseMac(mac ?? "") && Array.isArray(ips) &&
    ips.every(({ address, gateway }) => parseCidr(String(address)) && parseAddress(String(gateway)));
  if (!ok) throw new Error("Cannot read the agent's answer");
  return { mac: mac!, ips: ips! };
}
