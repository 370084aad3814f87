/** Which container has a port of the host's: files below the state directory. */
import {
  collide,
  hostPortsIn,
  type PortMapping,
  type Protocol,
  showHostPorts,
} from "../../net/port_mapping.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import { type Claim, claim } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";

/**
 * The claims that keep two containers from publishing the same port. Each port has a directory with one file per claim,
 * named by the address. So finding a conflict costs the same, however many ports are published. A range has one such
 * directory, beside those of other ranges, which everyone looks through.
 */
export function portClaims(state: string, ports: readonly PortMapping[], id: string): readonly Claim[] {
  return ports.map((port) => claim(`${directoryOf(state, port)}/${fileOf(port)}`, id));
}

/** Where the claims of a port, or of a range, are. */
export function directoryOf(state: string, mapping: PortMapping): string {
  const { protocol, count } = mapping;
  return `${count === undefined ? singles(state, protocol) : ranges(state, protocol)}/${
    showHostPorts(mapping)
  }`;
}

function singles(state: string, protocol: Protocol): string {
  return `${state}/ports/${protocol}`;
}

function ranges(state: string, protocol: Protocol): string {
  return `${state}/ports/${protocol}-ranges`;
}

/** The directories of claims that may be on the same ports. */
function directoriesFor(world: World, state: string, mapping: PortMapping): readonly string[] {
  const { protocol, hostPort, count = 1 } = mapping;
  const within = (directory: string) =>
    world.list(directory).filter((name) => {
      const [first, last] = hostPortsIn(name);
      return first < hostPort + count && hostPort <= last;
    }).map((name) => `${directory}/${name}`);
  const own = mapping.count === undefined ? [directoryOf(state, mapping)] : within(singles(state, protocol));
  return [...own, ...within(ranges(state, protocol))];
}

function fileOf({ family, hostIp }: PortMapping): string {
  return `${family ?? "any"} ${hostIp ?? "any"}`;
}

/** The claim in a file, of ports that a mapping may be of. */
function readFile(path: string, { protocol }: PortMapping): PortMapping {
  const [ports, name] = path.split("/").slice(-2) as [string, string];
  const [[first, last], [family, hostIp]] = [hostPortsIn(ports), name.split(" ")];
  return {
    ...{ protocol, hostPort: first, port: 0, count: last - first + 1 },
    ...(family === "any" ? {} : { family: Number(family) as 4 | 6 }),
    ...(hostIp === "any" ? {} : { hostIp }),
  };
}

/** A claim of another container's, by its id. */
export interface Conflict {
  readonly id: string;
  readonly claim: PortMapping;
}

/** The claims of other containers that a mapping collides with, sorted by container. */
export function conflicts(world: World, state: string, port: PortMapping, id: string): readonly Conflict[] {
  const paths = directoriesFor(world, state, port).flatMap((directory) =>
    world.list(directory).filter((name) => !name.startsWith(".")).map((name) => `${directory}/${name}`)
  );
  return paths.flatMap((path) => {
    const claim = readFile(path, port);
    const owner = collide(port, claim) ? readUndamagedFile(world, path) : undefined;
    return owner === undefined || owner === id ? [] : [{ id: owner, claim }];
  }).toSorted((a, b) => a.id < b.id ? -1 : 1);
}

/** The other containers that have published one of the ports. */
export function findConflicting(
  world: World,
  state: string,
  ports: readonly PortMapping[],
  id: string,
): readonly string[] {
  return [...new Set(ports.flatMap((port) => conflicts(world, state, port, id).map((one) => one.id)))];
}
