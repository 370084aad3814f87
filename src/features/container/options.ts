import { badPair } from "../../wire/cni/args.ts";
import { parseAddress, parseCidr } from "../../net/address.ts";
import { parseMac } from "../../net/names.ts";
import { type Mode, parseNets } from "../../net/modes.ts";
import { parsePublish, type PortMapping } from "../../net/port_mapping.ts";
import { annotationPrefix, type OptionValues, parseAnnotations } from "../../wire/oci/options.ts";
import { loosened } from "../../drivers/uplinks/options.ts";
import { parseUplink, type WantedUplink } from "../../drivers/uplinks/table.ts";
import { type Files, parseFiles } from "./files.ts";
import { type Forwarding, parseForwarding } from "../rootless/forwarding.ts";
import type { Limits } from "../../net/limits.ts";
import { serviceOf } from "../networks/service_options.ts";
import type { Service } from "../networks/services.ts";
import { parseLimits } from "../limits/limits.ts";
import { pointless } from "./link_problems.ts";

/** The options for attaching a container, checked for contradictions. */
export interface AttachOptions {
  readonly mode: Mode;
  readonly ports: readonly PortMapping[];
  readonly files: Files;
  readonly limits: Limits;
  /** The uplink for a rootless container; absent: the best one that works. */
  readonly uplink?: WantedUplink;
  readonly forwarding: Forwarding;
  readonly netDirectories: readonly string[];
  /** What it is a member of, over several hosts. */
  readonly service?: Service;
}

/** What is wrong with an argument that is to be an address. */
function addressProblem(pair: string): string | undefined {
  const [, key, value] = /^(ip|mac)=(.+)/i.exec(pair) ?? [];
  if (value === undefined) return undefined;
  if (key!.length > 2) {
    return parseMac(value) ? undefined : `Cannot use MAC address "${value}": it is not one`;
  }
  return parseAddress(value) ?? parseCidr(value) ? undefined : `invalid IP address: ${value}`;
}

function checkArguments(name: string, args: string): void {
  if (name === "container") {
    throw new Error(
      `Cannot use --net container:${args}: ocinet joins no container's namespace; nsenter --net=PATH COMMAND does, and a ` +
        `runtime whose config.json has the PATH; ocinet inspect ${args || "ID"} shows it`,
    );
  }
  const bad = badPair(args);
  if (bad !== undefined) {
    throw new Error(`Cannot read --net: argument "${bad}" of network "${name}" is not KEY=VALUE`);
  }
  const keys = args.split(";").map((pair) =>
    pair.split("=")[0]!.replace(/^(ip|mac)$/, (key) => key.toUpperCase())
  );
  const twice = keys.find((key, i) => key !== "" && key !== "alias" && keys.indexOf(key) < i);
  if (twice !== undefined) {
    throw new Error(`Cannot read --net: network "${name}" has ${twice} twice; a container takes one`);
  }
  const [problem] = args.split(";").flatMap((pair) => addressProblem(pair) ?? []);
  if (problem !== undefined) throw new Error(`Cannot use network "${name}": ${problem}`);
}

/** Parses the options. @throws Error naming the option and the reason */
export function parseAttachOptions(given: OptionValues): AttachOptions {
  const mode = parseNets(given.get("net") ?? []);
  for (const [name, args] of mode.kind === "contained" ? mode.networks : []) checkArguments(name, args);
  const ports = parsePorts(given.get("publish") ?? []);
  const limits = parseLimits(given);
  const uplink = given.get("uplink")?.at(-1);
  if (mode.kind !== "contained") {
    if (ports.length > 0) throw pointless("publish", mode.kind);
    if (Object.keys(limits).length > 0) throw pointless("limit", mode.kind);
    if (uplink !== undefined) throw pointless("uplink", mode.kind);
  }
  return {
    mode,
    ports,
    files: parseFiles(given),
    limits,
    ...(uplink === undefined ? {} : { uplink: parseUplink(uplink) }),
    forwarding: parseForwarding(given),
    ...serviceOf(given),
    netDirectories: (given.get("net-dir") ?? []).map(checkDirectory),
  };
}

/** The number of ports of TCP, UDP and SCTP together. */
const mostPorts = 3 * 65_535;

/**
 * Parses the ports. A range becomes one mapping per port, so the total is limited: a short text must not become
 * millions.
 */
function parsePorts(values: readonly string[]): readonly PortMapping[] {
  const ports: PortMapping[] = [];
  for (const text of values.flatMap((value) => value.split(","))) {
    for (const port of parsePublish(text)) ports.push(port);
    if (ports.length > mostPorts) {
      throw new Error(`Cannot publish "${text}": with it there would be more than ${mostPorts} ports`);
    }
  }
  return ports;
}

/**
 * The options, and for those not given the annotations.
 * @throws Error for an annotation that must not set the option
 */
export function withAnnotations(
  typed: OptionValues,
  annotations: Readonly<Record<string, string>>,
): OptionValues {
  const annotated = parseAnnotations(annotations);
  if (!typed.has("uplink")) refuseLoosening(annotated);
  return new Map([...annotated, ...typed]);
}

/**
 * Refuses annotations that weaken the isolation from the host. An image's labels may become annotations (image-spec,
 * conversion.md), and an image must not open the host's loopback.
 * @throws Error naming the annotation and the option
 */
export function refuseLoosening(annotations: OptionValues): void {
  const value = annotations.get("uplink")?.at(-1);
  const [key] = value === undefined ? [] : loosened(parseUplink(value).options);
  if (!key) return;
  throw new Error(
    `Cannot use annotation "${annotationPrefix}uplink": "${key}" in "${value}" opens what keeps a container from the host; ` +
      "say it with --uplink",
  );
}

/** Refuses a relative path: it would depend on the directory from which a hook is called. */
function checkDirectory(path: string): string {
  if (path.startsWith("/")) return path;
  throw new Error(`Cannot read networks in --net-dir ${JSON.stringify(path)}: it is not an absolute path`);
}
