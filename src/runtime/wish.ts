import { parseArgs } from "../cni/args.ts";
import { type Mode, parseNets } from "../net/modes.ts";
import { parsePublish, type PortMapping } from "../net/port_mapping.ts";
import type { Given } from "../oci/options.ts";
import { type Files, parseFiles } from "./files.ts";
import { type Limits, parseLimits } from "./limits.ts";

/** How somebody wants a container networked; nothing about it contradicts itself. */
export interface Wish {
  readonly mode: Mode;
  readonly ports: readonly PortMapping[];
  readonly files: Files;
  readonly limits: Limits;
  readonly netDirectories: readonly string[];
}

/** Reads the options. @throws Error naming the option and the reason */
export function parseWish(given: Given): Wish {
  const mode = parseNets(given.get("net") ?? []);
  if (mode.kind === "contained") mode.networks.forEach((args) => parseArgs(args));
  const ports = (given.get("publish") ?? []).flatMap((value) => value.split(",")).flatMap(parsePublish);
  if (ports.length > 0 && mode.kind !== "contained") {
    throw new Error(
      `Cannot publish ports with --net=${mode.kind}: ` +
        (mode.kind === "host"
          ? "the container has the host's ports already"
          : "the container has loopback only"),
    );
  }
  const limits = parseLimits(given);
  const [limit] = Object.keys(limits);
  if (limit && mode.kind !== "contained") {
    throw new Error(
      `Cannot limit a container's traffic with --net=${mode.kind}: ` +
        (mode.kind === "host" ? "it is the host's" : "there is none"),
    );
  }
  return {
    mode,
    ports,
    files: parseFiles(given),
    limits,
    netDirectories: (given.get("net-dir") ?? []).map(checkDirectory),
  };
}

/** A hook is called from anywhere, so a relative path would lead it elsewhere. */
function checkDirectory(path: string): string {
  if (path.startsWith("/")) return path;
  throw new Error(`Cannot read networks in --net-dir ${JSON.stringify(path)}: it is not an absolute path`);
}
