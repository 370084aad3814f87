import { messageOf } from "../../wire/cni/error.ts";
import { helperSocket, parseOffer, writeRequest } from "../../wire/helper/wire.ts";
import { addressOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import { findProgram, packages } from "../../plan/programs.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { parseOptions } from "../../drivers/uplinks/options.ts";
import { isRelay } from "../../drivers/uplinks/relay.ts";
import { uplinks, type WantedUplink } from "../../drivers/uplinks/table.ts";
import type { Host, Running, Uplink } from "../../drivers/uplinks/uplink.ts";
import { withFreeCidr } from "./cidr.ts";
import { forwarders, type Forwarding } from "./forwarding.ts";
import type { ContainerRecord } from "../../engine/record.ts";
import type { Limits } from "../../net/limits.ts";
import { reachableNames, resolversOf } from "../../engine/name_servers.ts";
import { hasDefaultRoute } from "../../engine/routes.ts";
import { outerUid } from "../../engine/user.ts";
import { userNicFor } from "./user_nic.ts";

/** What an uplink has to know of this host. */
export function hostOf(world: World): Host {
  const { relayProblem } = world;
  return {
    ...(relayProblem === undefined ? {} : { relayProblem }),
    ipv6: world.stat("/proc/sys/net/ipv6/conf") !== undefined,
    routes: { 4: hasDefaultRoute(world, 4), 6: hasDefaultRoute(world, 6) },
    lowestPort: Number(world.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? 1024),
  };
}

/** The same, with what root grants this user there. */
export async function granting(world: World): Promise<Host> {
  const [service, userNic] = await Promise.all([serviceFor(world), userNicFor(world)]);
  return {
    ...hostOf(world),
    names: reachableNames(world),
    resolvers: resolversOf(world),
    ...service,
    ...userNic,
  };
}

/** Root's service, if it listens for this user, and what it offers them. */
export async function serviceFor(world: World): Promise<Pick<Host, "service">> {
  const socket = helperSocket(outerUid(world));
  if (world.stat(socket)?.kind !== "socket") return {};
  try {
    const answer = await world.request(socket, writeRequest({ do: "show" }), {
      looks: true,
      timeoutSeconds: 5,
    });
    return { service: { socket, offer: parseOffer(answer) } };
  } catch (error) {
    return { service: { socket, offer: messageOf(error) } };
  }
}

/** A container whose uplink publishes ports: by a socket that its program has made, or by that of root's service. */
export function asRunning({ id, attachments, steps }: ContainerRecord): Running {
  // Root's service may have been asked first, and refused.
  const start = steps.filter((step) => step.tool === "spawn").find((step) => !isRelay(step));
  const asked = steps.find((step) => step.tool === "send");
  return {
    ...{ id, socket: start?.cleanupPaths[0] ?? asked!.socket },
    guest: addressOf(attachments[0]!.result!.ips[0]!.address),
  };
}

/** What a container wants of an uplink. */
export interface UplinkOptions {
  readonly uplink?: WantedUplink;
  readonly ports: readonly PortMapping[];
  readonly forwarding: Forwarding;
  readonly limits: Limits;
  readonly restricted: boolean;
  /** What is asked for of name servers; "network", and nothing, leave them to the uplink. */
  readonly files?: { readonly resolv: unknown };
  /** Names of those that have refused already. */
  readonly except?: readonly string[];
}

/** An uplink, and the ports, each with who forwards it. */
export interface ChosenUplink extends WantedUplink {
  readonly ports: readonly PortMapping[];
}

/**
 * The uplink that is asked for; if none is, the best that works on this host and can publish the ports: by which names
 * are found before others, then by itself before by the relay.
 * @throws Error saying why it cannot be, of the best if none can
 */
export async function chooseUplink(
  world: World,
  state: string,
  host: Host,
  wanted: UplinkOptions,
): Promise<ChosenUplink> {
  return await withFreeCidr(world, await choose(world, state, host, wanted));
}

async function choose(
  world: World,
  state: string,
  host: Host,
  { uplink: asked, ports, forwarding, limits, restricted, files, except = [] }: UplinkOptions,
): Promise<ChosenUplink> {
  const known = uplinks.filter(({ name, provided }) => !except.includes(name) && (provided?.(host) ?? true));
  const candidates = asked ? [asked] : known.map((uplink) => ({
    uplink,
    options: parseOptions("", uplink.keys),
  }));
  const refusals: string[] = [];
  const problems: string[] = [];
  const findsNames = ({ losesNames }: Uplink) =>
    restricted || (files?.resolv ?? "network") !== "network" || losesNames?.(host) === undefined;
  // From the one that is wanted least: without names by the relay, and by itself; with names by the relay.
  const others: ChosenUplink[][] = [[], [], []];
  for (const candidate of candidates) {
    const { uplink } = candidate;
    const problem = await uplinkProblem(world, state, host, candidate, restricted) ??
      (asked ? undefined : uplink.doubt?.(host));
    if (problem) {
      problems.push(`Cannot use uplink "${uplink.name}": ${problem}`);
      continue;
    }
    const forwarded = { host, restricted, limits, runs: false };
    const found = forwarders(uplink, ports, forwarding, forwarded);
    const refusal = found.find((port) => typeof port === "string");
    const chosen = { ...candidate, ports: found.filter((port) => typeof port !== "string") };
    const tooMany = refusal ?? uplink.tooMany?.(chosen.ports.filter(({ relay }) => !relay));
    if (tooMany !== undefined) refusals.push(tooMany);
    else {
      const rank = (findsNames(uplink) ? 2 : 0) + (chosen.ports.some(({ relay }) => relay) ? 0 : 1);
      if (rank === 3) return chosen;
      others[rank]!.push(chosen);
    }
  }
  const [next] = others.toReversed().flat();
  if (next) return next;
  throw new Error(refusals[0] ?? problems.join("; "));
}

async function uplinkProblem(
  world: World,
  state: string,
  host: Host,
  { uplink, options }: WantedUplink,
  restricted: boolean,
): Promise<string | undefined> {
  if (uplink.provided) return uplink.problem(host, restricted, options);
  const path = findProgram(world, uplink.name);
  const version = path === undefined || !uplink.oldest ? undefined : await knownVersion(world, state, path);
  return problemOf(host, uplink, path, version);
}

/** Why an uplink does not work on this host, or undefined when it does. */
export function problemOf(
  host: Host,
  { name, oldest, keys, problem }: Uplink,
  path: string | undefined,
  version: string | undefined,
): string | undefined {
  if (path === undefined) return `${name} is not on PATH; install ${packages[name]}`;
  if (oldest === undefined || (version !== undefined && version >= oldest.version)) {
    return problem(host, false, parseOptions("", keys));
  }
  return `${path} is ${
    version ?? "of unknown version"
  }, and it is used from ${oldest.version} on: ${oldest.why}`;
}

/** The program's version, asked once for each file that it is: a hook has no time to ask every time. */
async function knownVersion(world: World, state: string, path: string): Promise<string | undefined> {
  const { identity, modified } = world.stat(path)!;
  const memory = `${state}/pasta.version`;
  const [file, version] = readUndamagedFile(world, memory)?.trim().split(" ") ?? [];
  const own = `${identity}:${modified}`;
  if (file === own) return version;
  const found = await pastaVersion(world, path);
  world.write(memory, `${own} ${found ?? ""}\n`);
  return found || undefined;
}

/**
 * The year and month of a pasta. Debian's does not know its version: that has to be told from its options, and for older
 * ones is found in what dpkg knows.
 */
export async function pastaVersion(world: World, path: string): Promise<string | undefined> {
  const [version, help] = await Promise.all([
    says(world, [path, "--version"]),
    says(world, [path, "--help"]),
  ]);
  const own = /\b(20[0-9]{2})_?([0-9]{2})_?[0-9]{2}\b/.exec(version);
  if (own) return `${own[1]}_${own[2]}`;
  if (help.includes("--map-host-loopback")) return "2024_08";
  const [, year, month] = /^Package: passt\n(?:.+\n)*?Version: .*?git([0-9]{4})([0-9]{2})[0-9]{2}/m.exec(
    world.read("/var/lib/dpkg/status") ?? "",
  ) ?? [];
  return year === undefined ? undefined : `${year}_${month}`;
}

/** What a program prints; one that cannot even be run says nothing. */
async function says(world: World, argv: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await world.run(argv, { timeout: 5000, looks: true });
    return stdout + stderr;
  } catch {
    return "";
  }
}
