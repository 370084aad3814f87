import { fromNumber } from "../../net/address.ts";
import { collide, expanded, parseHostIp, type PortMapping, showMapping } from "../../net/port_mapping.ts";
import { createWithDirectory, removeAbandoned } from "../../plan/files.ts";
import { processWith } from "../../plan/open_files.ts";
import type { World } from "../../plan/world.ts";
import { readContainer } from "../../engine/record.ts";
import { addressesSeenBy, isHostAddress } from "../../engine/routes.ts";
import { processOnHost } from "../rootless/host_forwarding.ts";
import { type Conflict, conflicts, directoryOf, portClaims } from "./port_claims.ts";

/**
 * Claims ports for a container, before anything else is done for it.
 * @throws Error naming the first port on an address that the host does not have, or that is taken, with its owner;
 * other ports may be claimed by then
 */
export async function takePorts(
  world: World,
  state: string,
  ports: readonly PortMapping[],
  id: string,
): Promise<void> {
  const onHost = ports.length > 0 ? processOnHost(world) : undefined;
  const nonLocal = await findNonLocal(world, ports, onHost);
  if (nonLocal) throw new Error(nonLocal);
  await claimPorts(world, state, ports, id);
  await checkListeners(world, ports);
  const busy = onHost && ports.find((port) => listens(world, port, onHost));
  if (busy) throw new TakenPort(busy, "a process outside of the session listens on it");
}

/**
 * The reason why a port cannot be published: the first one whose address is not the host's. Connections to such an
 * address at most pass through the host.
 * @param pid a process in the host's network namespace, if that is not ours
 */
export async function findNonLocal(
  world: World,
  ports: readonly PortMapping[],
  pid?: number,
): Promise<string | undefined> {
  const addresses = new Set(ports.flatMap(({ hostIp }) => hostIp ?? []));
  if (addresses.size === 0) return undefined;
  const isLocal = pid === undefined
    ? (address: string) => isHostAddress(world, address)
    : addressesSeenBy(world, pid);
  for (const address of addresses) {
    if (await isLocal(address)) continue;
    const port = ports.find(({ hostIp }) => hostIp === address)!;
    return `Cannot publish "${showMapping(port)}": the host does not have the address ${address}`;
  }
  return undefined;
}

function listens(world: World, port: PortMapping, pid: number): boolean {
  return readListeners(world, port.protocol, pid).some((other) => collide(port, other));
}

async function claimPorts(
  world: World,
  state: string,
  ports: readonly PortMapping[],
  id: string,
): Promise<void> {
  refuseDuplicates(ports);
  const claims = portClaims(state, ports, id);
  for (const [i, port] of ports.entries()) {
    const path = claims[i]!.path;
    const directory = directoryOf(state, port);
    if (world.list(directory).length > 0) removeAbandoned(world, directory);
    else world.makeDirectory(directory, 0o755);
    const [conflicting] = conflicts(world, state, port, id);
    if (conflicting) throw takenBy(port, conflicting);
    if (!createWithDirectory(world, path, id) && world.read(path) !== id) {
      throw takenBy(port, { id: world.read(path) ?? "?", claim: port });
    }
    await settle(world, state, port, id);
  }
}

/** The error for a port that another container has, of a range the first that it has. */
function takenBy(port: PortMapping, { id, claim }: Conflict): TakenPort {
  return new TakenPort(within(port, claim), `container "${id}" has it`);
}

/** The first port of a mapping that another has, too. */
function within(port: PortMapping, { hostPort }: PortMapping): PortMapping {
  const { count, ...first } = port;
  const shared = Math.max(hostPort, port.hostPort);
  return count === undefined ? port : { ...first, hostPort: shared, port: shared };
}

/** Refuses duplicates. All 65,535 ports may be published, so only mappings that reach the same number are compared. */
function refuseDuplicates(ports: readonly PortMapping[]): void {
  let others: readonly PortMapping[] = [];
  for (const port of ports.toSorted((a, b) => a.hostPort - b.hostPort)) {
    others = others.filter(({ hostPort, count = 1 }) => port.hostPort < hostPort + count);
    const duplicate = others.find((other) => collide(port, other));
    if (duplicate) {
      throw new TakenPort(
        within(port, duplicate),
        `this container publishes it already, as "${showMapping(duplicate)}"`,
      );
    }
    others = [...others, port];
  }
}

/**
 * Settles a conflict of two claims made at the same time, one on all addresses and one on some. Each container sees the
 * other's claim. The container whose id sorts first waits for the other to give up. An earlier claim does not give up.
 */
async function settle(world: World, state: string, port: PortMapping, id: string): Promise<void> {
  for (let waited = 0;; waited += 5) {
    const [conflicting] = conflicts(world, state, port, id);
    if (conflicting === undefined) return;
    if (conflicting.id < id || waited >= longestWait(world, state, conflicting.id)) {
      throw takenBy(port, conflicting);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How long to wait for the other container, in milliseconds. One that is being attached may be slow to check. */
function longestWait(world: World, state: string, conflicting: string): number {
  try {
    return readContainer(world, state, conflicting)?.phase === "planning" ? 10_000 : 200;
  } catch {
    return 200;
  }
}

/**
 * Refuses ports on which programs of the host listen. They must be claimed first, because the check listens for a
 * moment.
 */
async function checkListeners(world: World, ports: readonly PortMapping[]): Promise<void> {
  const protocols = [...new Set(ports.map(({ protocol }) => protocol))];
  const tcp = ports.filter(({ protocol }) => protocol === "tcp");
  const many = tcp.reduce((sum, { count = 1 }) => sum + count, 0) > fewPorts;
  const busy = many || await isBusy(world, expanded(tcp));
  const listeners = protocols.flatMap((protocol) =>
    protocol === "tcp" && !busy ? [] : readListeners(world, protocol)
  );
  for (const port of ports) {
    const listener = listeners.find((other) => collide(port, other));
    if (listener) {
      throw new TakenPort(within(port, listener), `${findProcess(world, listener.inode)} listens on it`);
    }
  }
}

/** More of them take longer to try than the kernel's list takes to read. */
const fewPorts = 200;

/**
 * Tries to listen on the ports. Reading the kernel's list of TCP sockets would take milliseconds, because it is a large
 * hash table.
 */
async function isBusy(world: World, ports: readonly PortMapping[]): Promise<boolean> {
  for (const { hostIp, family, hostPort } of ports) {
    const anywhere = family === 4 ? ["0.0.0.0"] : family === 6 ? ["::"] : ["0.0.0.0", "::"];
    for (const address of hostIp === undefined ? anywhere : [hostIp]) {
      if (!await world.canListen(address, hostPort)) return true;
    }
  }
  return false;
}

/** The error for a port that is taken. */
export class TakenPort extends Error {
  readonly port: PortMapping;

  constructor(port: PortMapping, reason: string) {
    super(`Cannot publish "${showMapping(port)}": ${reason}`);
    this.port = port;
  }
}

/** A socket that listens; `hostPort` and `hostIp` are the address it is bound to. */
export interface Listener extends PortMapping {
  readonly inode: string;
}

/** The listening sockets in the network namespace of a process. */
export function readListeners(
  world: World,
  protocol: PortMapping["protocol"],
  pid: number | "self" = "self",
): readonly Listener[] {
  const read = (table: string) => world.read(`/proc/${pid}/net/${table}`) ?? "";
  return listenerTables(protocol).flatMap((table) => parseListeners(read(table), protocol));
}

/** The kernel's tables of a protocol's sockets in /proc/PID/net. */
export function listenerTables(protocol: PortMapping["protocol"]): readonly string[] {
  return protocol === "sctp" ? [] : [protocol, `${protocol}6`];
}

/** Reads such tables: TCP sockets that listen (state 0A), and UDP sockets that are bound and not connected (07). */
export function parseListeners(text: string, protocol: PortMapping["protocol"]): readonly Listener[] {
  const waiting = protocol === "tcp" ? "0A" : "07";
  const rows = text.split("\n").map((row) => row.trim().split(/\s+/));
  return rows.filter((row) => row[3] === waiting).map((row) => {
    const [address, port] = row[1]!.split(":");
    const host = parseHostIp(fromHex(address!))!;
    // An IPv6 socket on all addresses accepts IPv4 connections too.
    const where = host.family === 6 && host.hostIp === undefined ? {} : host;
    return { protocol, hostPort: parseInt(port!, 16), port: 0, inode: row[9]!, ...where };
  });
}

/** /proc prints addresses as 32-bit words in the machine's byte order. */
function fromHex(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.map((word) => word.match(/../g)!.reverse().join("")).join("");
  return fromNumber(BigInt(`0x${bytes}`), hex.length === 8 ? 4 : 6);
}

/** The process that has a socket, as text for the user. */
export function findProcess(world: World, inode: string): string {
  const pid = processWith(world, `socket:[${inode}]`);
  if (pid === undefined) return "a process of another user";
  return `process ${pid} (${world.read(`/proc/${pid}/comm`)?.trim()})`;
}
