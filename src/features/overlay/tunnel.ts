/**
 * WireGuard between the hosts, beneath encrypted networks. Each host makes its key itself and tells others the public part
 * alone, in its record. A host's address in the tunnel follows from its name, so that no record can claim another's.
 */
import { family, parseAddress } from "../../net/address.ts";
import { digest } from "../../net/names.ts";
import { findProgram } from "../../plan/programs.ts";
import { type Output, whyFailed, type World } from "../../plan/world.ts";
import { type Agent, type Joined, livingHosts, report } from "./agent_state.ts";
import { beat } from "./host_lease.ts";
import type { HostRecord, OverlayNetwork } from "./keys.ts";
import type { Underlay } from "./cluster_config.ts";

/** The tunnel's link on every host. */
export const tunnelLink = "wg-ocinet";
/** The addresses of all hosts in the tunnel: a ULA prefix. */
export const tunnelPrefix = "fd6f:6369:6e65::/48";
/**
 * Seconds after which a peer hears of this host. It does at once when it is made known, too: of two hosts the one that knows
 * the other last begins. Else the first packets of containers are lost, for WireGuard tries again after five seconds.
 */
const alive = 25;
/** Milliseconds after which WireGuard's peers are looked at again. */
const lookEvery = 20_000;

/** A host's address in the tunnel: 80 bits of SHA-512 of its name. */
export async function tunnelAddress(host: string): Promise<string> {
  const hash = (await digest("tunnel", host)).slice(0, 20);
  return parseAddress(`${tunnelPrefix.replace("::/48", "")}:${hash.match(/.{4}/g)!.join(":")}`)!;
}

/** Bytes that WireGuard takes of each packet of the underlay's: a header, a tag, UDP, and IPv4 or IPv6. */
function overhead(underlay: string): number {
  return family(underlay) === 4 ? 60 : 80;
}

/** The tunnel as the underlay of a network. */
export function tunnelled<Of extends { readonly mtu: number }>(
  of: Of,
  underlay: string,
  address: string,
): Of {
  return { ...of, mtu: of.mtu - overhead(underlay), underlay: address, address };
}

/** What an encrypted network sees in place of the underlay. @throws Error before the agent knows its underlay */
export async function underlayOf(agent: Agent, { encrypted }: OverlayNetwork): Promise<Underlay | undefined> {
  const { underlay, config } = agent;
  if (!encrypted || underlay === undefined) return underlay;
  return tunnelled(underlay, underlay.address, await tunnelAddress(config.name));
}

/** The living hosts as a network sees them: of an encrypted one those that have a key, at their addresses in the tunnel. */
export async function hostsOn(
  agent: Agent,
  { encrypted }: OverlayNetwork,
): Promise<ReadonlyMap<string, HostRecord>> {
  const hosts = livingHosts(agent);
  if (!encrypted) return hosts;
  const rows = [...hosts].filter(([, { tunnel }]) => tunnel !== undefined).map(async ([name, host]) =>
    [name, tunnelled(host, host.underlay, await tunnelAddress(name))] as const
  );
  return new Map(await Promise.all(rows));
}

/** Why networks cannot be encrypted on this host, with the remedy, or undefined. */
export async function encryptionProblem(world: World): Promise<string | undefined> {
  if (findProgram(world, "wg") === undefined) {
    return 'there is no "wg" to give WireGuard its keys; install wireguard-tools';
  }
  if (world.stat("/sys/module/wireguard") || findProgram(world, "wireguard-go")) return undefined;
  const loaded = await world.run(["modprobe", "wireguard"]).catch(() => undefined);
  if (loaded?.code === 0 || world.stat("/sys/module/wireguard")) return undefined;
  return "the kernel has no WireGuard, and there is no wireguard-go; load the module (Linux 5.6 and later have it), " +
    "or install wireguard-go";
}

/** Where the private key is. */
function keyFile({ state }: Agent): string {
  return `${state}/agent.key`;
}

/** Takes up the key that an agent before this one made, so that the host's record never lacks it. */
export async function resumeTunnel(agent: Agent): Promise<void> {
  const isUsed = [...agent.joined.values()].some(({ network }) => network.encrypted);
  if (!isUsed) return;
  const kept = agent.world.read(keyFile(agent));
  if (kept !== undefined) setTunnel(agent, await publicKey(agent.world, kept));
}

function setTunnel(agent: Agent, key: string): void {
  agent.tunnel = { key, port: agent.config.encryptionPort };
}

/** Has the tunnel on this host, and its key in the host's record. @throws Error with the remedy when it cannot be had */
export async function openTunnel(agent: Agent): Promise<void> {
  const { world } = agent;
  if (agent.tunnel === undefined) {
    const problem = await encryptionProblem(world);
    if (problem !== undefined) throw new Error(`Cannot encrypt: ${problem}`);
    const kept = world.read(keyFile(agent));
    setTunnel(agent, kept === undefined ? await newKey(agent) : await publicKey(world, kept));
    await beat(agent);
  }
  await mendTunnel(agent);
}

/** Makes a key in place of the one there is. Peers hear of it by the host's record. @returns its public part */
export async function rotateKey(agent: Agent): Promise<string> {
  if (agent.tunnel === undefined) {
    throw new Error(
      `Cannot rotate the key of host "${agent.config.name}": it has none, for no container is on an encrypted network`,
    );
  }
  const [old, secret] = [agent.tunnel, agent.world.read(keyFile(agent))!];
  setTunnel(agent, await newKey(agent));
  // First the others: what they send by the old key until then is lost, and sent again by TCP.
  await beat(agent);
  const problem = agent.problems.get("cluster");
  if (problem !== undefined) {
    agent.world.write(keyFile(agent), secret, 0o600);
    agent.tunnel = old;
    throw new Error(`Cannot rotate the key: ${problem}`);
  }
  await mendTunnel(agent);
  return agent.tunnel.key;
}

async function newKey(agent: Agent): Promise<string> {
  const made = said(await agent.world.run(["wg", "genkey"]), "wg genkey");
  agent.world.write(keyFile(agent), `${made}\n`, 0o600);
  return await publicKey(agent.world, made);
}

async function publicKey(world: World, secret: string): Promise<string> {
  return said(await world.run(["wg", "pubkey"], { stdin: `${secret.trim()}\n`, looks: true }), "wg pubkey");
}

function said(output: Output, what: string): string {
  if (output.code === 0) return output.stdout.trim();
  throw new Error(`Cannot do "${what}": ${whyFailed(output)}`);
}

/** Keeps the tunnel as it is to be; takes it away once no encrypted network is on this host. @throws Error */
export async function followTunnel(agent: Agent): Promise<void> {
  if ([...agent.joined.values()].some(needsTunnel)) return await openTunnel(agent);
  if (agent.world.stat(`/sys/class/net/${tunnelLink}`) === undefined) return;
  await closeTunnel(agent);
}

function needsTunnel({ network }: Joined): boolean {
  return network.encrypted === true;
}

/** Takes the link away, and the key: the next network has a new one. */
export async function closeTunnel(agent: Agent): Promise<void> {
  const { world } = agent;
  await world.run(["ip", "link", "del", "dev", tunnelLink]);
  await world.run(["ip", "route", "del", "unreachable", tunnelPrefix, "metric", "4096"]);
  // The second one is left by an agent that was killed while it was read.
  ["", ".conf"].forEach((end) => world.remove(keyFile(agent) + end));
  delete agent.tunnel;
}

async function mendTunnel(agent: Agent): Promise<void> {
  const { world } = agent;
  const tunnel = agent.tunnel!;
  const flags = world.read(`/sys/class/net/${tunnelLink}/flags`);
  const isUp = flags !== undefined && (Number(flags) & 1) === 1;
  if (!isUp) delete tunnel.applied;
  if (tunnel.applied === undefined) await makeLink(agent, flags === undefined);
  const peers = await wantedPeers(agent);
  const conf = configuration(agent, peers);
  const now = performance.now();
  const known = tunnel.applied?.conf === conf && now - tunnel.applied.looked < lookEvery;
  if (known || tunnel.applied?.conf === conf && await hasPeers(world, tunnel.key, peers)) {
    if (!known) tunnel.applied!.looked = now;
    return;
  }
  // Where a peer that stays sends from, WireGuard knows better: it may be behind NAT.
  const before = tunnel.applied?.conf === conf ? "" : tunnel.applied?.conf ?? "";
  const blocks = conf.split("[Peer]").map((one) =>
    before.includes(one) ? one.replace(/Endpoint.*\n/, "") : one
  );
  await configure(agent, blocks.join("[Peer]"));
  tunnel.applied = { conf, looked: now };
}

/**
 * Leaves the sessions of peers alone that stay. By a file: `wg` opens what it reads by a path, and the standard input that
 * Node gives is a socket, which has none.
 */
async function configure(agent: Agent, conf: string): Promise<void> {
  const file = `${keyFile(agent)}.conf`;
  agent.world.write(file, conf, 0o600);
  const output = await agent.world.run(["wg", "syncconf", tunnelLink, file])
    .finally(() => agent.world.remove(file));
  refuse(agent, output);
}

/** The kernel's WireGuard takes its port when it is up, wireguard-go when it is told. */
function refuse({ tunnel, config }: Agent, output: Output): void {
  if (output.code === 0) return;
  const reason = /in use/.test(output.stderr)
    ? `another program has UDP port ${tunnel!.port}; set "encryptionPort" in ${config.path} to another`
    : whyFailed(output);
  throw new Error(`Cannot make the tunnel ${tunnelLink}: ${reason}`);
}

/** Makes the link where it is gone. Without it nothing leaves for the others' addresses: it would go in clear text. */
async function makeLink(agent: Agent, isGone: boolean): Promise<void> {
  const { world, underlay, config } = agent;
  if (isGone) await addLink(world);
  // Its addresses are IPv6.
  const mtu = Math.max(1280, underlay!.mtu - overhead(underlay!.address));
  const lines = [
    `route replace unreachable ${tunnelPrefix} metric 4096`,
    `link set dev ${tunnelLink} mtu ${mtu} up`,
    `address replace ${await tunnelAddress(config.name)}/128 dev ${tunnelLink} nodad noprefixroute`,
    `route replace ${tunnelPrefix} dev ${tunnelLink} metric 1024`,
  ];
  // Its port is given before it is up.
  await configure(agent, configuration(agent, []));
  refuse(agent, await world.run(["ip", "-batch", "-"], { stdin: `${lines.join("\n")}\n` }));
}

/** In the kernel, or else as a program that goes on when the agent ends, and ends with the link. */
async function addLink(world: World): Promise<void> {
  const kernel = await world.run(["ip", "link", "add", "name", tunnelLink, "type", "wireguard"]);
  if (kernel.code === 0) return;
  if (findProgram(world, "wireguard-go") === undefined) {
    throw new Error(`Cannot encrypt: ${await encryptionProblem(world) ?? whyFailed(kernel)}`);
  }
  said(await world.run(["wireguard-go", tunnelLink]), `wireguard-go ${tunnelLink}`);
}

/** Another host, as WireGuard knows it. */
interface Peer {
  readonly key: string;
  readonly address: string;
  readonly endpoint: string;
}

/** The others that have a key. Of two with one key, the host that had it first. */
async function wantedPeers(agent: Agent): Promise<readonly Peer[]> {
  const { hosts, config } = agent;
  const age = (name: string) => BigInt(hosts.entries.get(name)?.created ?? "0");
  const others = [...livingHosts(agent)].filter(([name, { tunnel }]) => name !== config.name && tunnel)
    .toSorted(([a], [b]) => age(a) < age(b) ? -1 : 1);
  const owners = new Map([[agent.tunnel!.key, config.name]]);
  const problems: string[] = [];
  const peers: Peer[] = [];
  for (const [name, { tunnel, underlay }] of others) {
    const owner = owners.get(tunnel!.key);
    if (owner !== undefined) {
      problems.push(`Cannot use the key of host "${name}": it is that of host "${owner}"`);
    } else {
      owners.set(tunnel!.key, name);
      const at = tunnel!.address ?? underlay;
      const endpoint = `${family(at) === 4 ? at : `[${at}]`}:${tunnel!.port}`;
      peers.push({ key: tunnel!.key, address: await tunnelAddress(name), endpoint });
    }
  }
  report(agent, "keys", problems.toSorted()[0]);
  return peers;
}

function configuration(agent: Agent, peers: readonly Peer[]): string {
  const secret = agent.world.read(keyFile(agent))?.trim() ?? "";
  return [
    `[Interface]\nPrivateKey = ${secret}\nListenPort = ${agent.tunnel!.port}\n`,
    ...peers.map(({ key, address, endpoint }) =>
      `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${address}/128\nEndpoint = ${endpoint}\nPersistentKeepalive = ${alive}\n`
    ),
  ].join("");
}

/** Whether the link has the key, and just these peers with just their addresses, and knows where they are. */
async function hasPeers(world: World, own: string, peers: readonly Peer[]): Promise<boolean> {
  const { code, stdout } = await world.run(["wg", "show", tunnelLink, "dump"], { looks: true });
  if (code !== 0) return false;
  const [first = "", ...rows] = stdout.trim().split("\n").map((line) => line.split("\t"));
  const there = rows.map(([key, , at, allowed]) => `${key} ${at === "(none)" || allowed}`).toSorted();
  const wanted = peers.map(({ key, address }) => `${key} ${address}/128`).toSorted();
  return first[1] === own && there.join("\n") === wanted.join("\n");
}
