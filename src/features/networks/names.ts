import { addressOf, lengthOf } from "../../net/address.ts";
import { digest, identifierProblem, vethFrom } from "../../net/names.ts";
import { linkExists } from "../../engine/links.ts";
import { reasonToGo } from "../../engine/namespace.ts";
import { type Attached, readUndamaged } from "../../engine/record.ts";
import { claim, type Step } from "../../plan/step.ts";
import { readUndamagedFile, removeAbandoned } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { type Member, parseMember } from "../../wire/dns/member.ts";
import { idsOf } from "../../wire/dns/zone.ts";
import { UsageError } from "../../wire/oci/options.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { dnsDriver, serveNames } from "./dns_driver.ts";
import { hostsDriver, joinHosts } from "./hosts_driver.ts";
import type { NameDriver, NetworkChange } from "./name_driver.ts";

/** A name that a hosts file, and a resolver, can have. */
const hostName = /^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/;

/** On networks with more members than this their hosts files are not rewritten for one that joins. */
const few = 64;

const drivers: readonly NameDriver[] = [hostsDriver, dnsDriver];

/** What every program takes for the host that it runs on (RFC 6761, and the hosts files of distributions). */
const loopbackName = /(^|\.)(localhost[46]?(\.localdomain[46]?)?|ip6-(localhost|loopback))\.?$/i;

/** Whether other containers can be told a name. */
export function isHostName(name: string): boolean {
  return hostName.test(name) && !loopbackName.test(name);
}

/** @throws Error for names that a container cannot have on the network */
export function checkAliases({ name, named }: NetworkList, aliases: readonly string[]): void {
  if (!named) {
    throw new Error(
      `network-scoped aliases are only supported for user-defined networks: ` +
        `"${name}" was not made by ocinet network create`,
    );
  }
  const bad = aliases.find((alias) => !isHostName(alias));
  if (bad === undefined) return;
  const reason = loopbackName.test(bad)
    ? "programs take it for the host that they run on"
    : 'it is not one of up to 253 letters, digits, "_", "-" and "."';
  throw new UsageError(`Cannot use alias ${JSON.stringify(bad)}: ${reason}`);
}

/** @throws Error for a network that cannot have the names that it asks for */
export function checkNames(network: Pick<NetworkList, "name" | "plugins">, names: string): void {
  const driver = drivers.find(({ name }) => name === names);
  if (!driver) {
    const known = drivers.map(({ name }) => name).join(", ");
    throw new Error(`failed to parse names value: ${JSON.stringify(names)} (there are: ${known})`);
  }
  const refusal = driver.refusal(network);
  if (refusal !== undefined) throw new Error(`Cannot use network "${network.name}": ${refusal}`);
}

function driverOf({ names }: NetworkList): NameDriver {
  return names === "dns" ? dnsDriver : hostsDriver;
}

/** One of a container's networks, with its addresses there. */
type Endpoint = Pick<Attached, "network" | "ifname" | "aliases" | "result" | "path" | "digest">;

/** A container's names, and the servers that it asks for names of the world if they were given. */
export interface Named {
  readonly id: string;
  readonly hostname?: string | undefined;
  readonly nameServers?: readonly string[] | undefined;
}

/**
 * What makes a container known on its networks: a file for each of its interfaces, which tells all that are on the
 * network; and what else its driver needs.
 */
export function nameSteps(
  world: World,
  state: string,
  named: Named,
  attachments: readonly Endpoint[],
): readonly Step[] {
  const steps = attachments.flatMap((endpoint): readonly Step[] => {
    const { network, ifname, result } = endpoint;
    if (!network.named || (result?.ips ?? []).length === 0) return [];
    const [driver, member] = [driverOf(network), memberOf(named, endpoint)];
    const path = `${namesDirectory(state, network.name)}/${named.id} ${ifname}`;
    return [claim(path, driver.fileText(member)), ...driver.steps(world, state, member)];
  });
  // Several networks share what one of their drivers needs.
  return [...new Map(steps.map((step) => [JSON.stringify(step), step])).values()];
}

function memberOf(
  { id, hostname, nameServers }: Named,
  { network, aliases = [], result, path, digest: hash }: Endpoint,
): Member {
  // The beginning of an id that people chose could be another's name.
  const all = [...idsOf(id), ...(hostname === undefined ? [] : [hostname]), ...aliases];
  return {
    addresses: result!.ips.map(({ address }) => addressOf(address)),
    names: [...new Set(all)].filter(isHostName),
    listen: listenOf({ network, result }),
    internal: network.plugins[0]!["internal"] === true,
    servers: nameServers ?? result!.dns.nameservers ?? [],
    ...(path ? {} : { link: vethFrom(hash) }),
  };
}

function listenOf({ result }: Pick<Endpoint, "network" | "result">): readonly string[] {
  return (result?.ips ?? []).flatMap(({ address, gateway }) =>
    gateway === undefined ? [] : `${gateway}/${lengthOf(address)}`
  );
}

/** The resolvers that a container with these interfaces asks, of its first network first. */
export function resolversOf(attachments: readonly Pick<Endpoint, "network" | "result">[]): readonly string[] {
  return attachments.filter(({ network }) => network.named && network.names === "dns").flatMap(listenOf)
    .map(addressOf);
}

/** Where the names on a network are. */
export function namesDirectory(state: string, network: string): string {
  return `${state}/names/${network}`;
}

/** Where the members of services are that are drained: files as those of names, with the name that leads to them no more. */
export function drainedDirectory(state: string, network: string): string {
  return `${state}/drained/${network}`;
}

/** Takes out of the text of a file of names what leads to its container no more: the name of a service, while it is drained. */
export function withoutDrained(
  world: World,
  state: string,
  network: string,
): (file: string, text: string) => string {
  const directory = drainedDirectory(state, network);
  const drained = world.list(directory);
  return (file, text) => {
    if (!drained.includes(file)) return text;
    const service = readUndamagedFile(world, `${directory}/${file}`)?.trim();
    return text.split("\n").map((line) => line.split(" ").filter((word) => word !== service).join(" ")).join(
      "\n",
    );
  };
}

/** The only container whose names on networks have changed. */
export interface NameChange {
  readonly id: string;
  /** It is not on the networks any more. */
  readonly hasLeft?: boolean;
}

/**
 * Writes the names of networks' present containers to the hosts files of these containers, or has the resolver read them.
 * A container that was killed is left out; of a network with many members it stays in hosts files until another leaves.
 * @param change if only one container's names have changed: a resolver's members are then not looked at
 * @throws Error when a resolver cannot serve one of them
 */
export async function refreshNames(
  world: World,
  state: string,
  networks: readonly string[],
  change?: NameChange,
): Promise<void> {
  for (const network of networks) {
    const unlock = await world.lock(`${state}/locks/.names-${network}`);
    try {
      await refreshNetwork(world, state, network, change);
    } finally {
      unlock();
    }
  }
}

async function refreshNetwork(
  world: World,
  state: string,
  network: string,
  change: NameChange | undefined,
): Promise<void> {
  const leavers = change?.hasLeft ? [change.id] : [];
  const directory = namesDirectory(state, network);
  const textOf = (file: string) => readUndamagedFile(world, `${directory}/${file}`) ?? "";
  const files = removeAbandoned(world, directory).filter((name) => /^[^. ][^ ]* [^ ]+$/.test(name)).sort();
  const [first] = files;
  if (first === undefined) world.removeEmpty(directory);
  // The resolver reads the members' files, and leaves out ended containers by itself.
  else if (parseMember(textOf(first))) {
    const following = { network, isNeeded: true, changed: change?.id };
    const { hasOthers } = await serveNames(world, state, following);
    if (!hasOthers) return await hostsDriver.refresh(world, state, { network, members: new Map(), leavers });
  }
  const told = withoutDrained(world, state, network);
  const all = files.map((file) => {
    const [id, ifname] = file.split(" ") as [string, string];
    return { id, ifname, text: told(file, textOf(file)).trim() };
  });
  if (change && !change.hasLeft && files.length > few && await mayJoin(world, state, network, all, change)) {
    return joinHosts(world, state, { network, members: textsOf(all) }, change.id);
  }
  await refreshAll(world, state, { network, all, leavers });
}

/** Tells each driver of all its members that are still there. */
async function refreshAll(
  world: World,
  state: string,
  { network, all, leavers }: Pick<NetworkChange, "network" | "leavers"> & { readonly all: readonly Told[] },
): Promise<void> {
  const living = (await Promise.all(all.map(async (one) => {
    // Containers of other hosts (features/overlay/member_names.ts) have no record here.
    const isOurs = identifierProblem(one.id) === undefined;
    return isOurs && await hasEnded(world, state, one.id, { network, ifname: one.ifname }) ? [] : [one];
  }))).flat();
  for (const driver of drivers) {
    const own = living.filter(({ text }) => (parseMember(text) ? dnsDriver : hostsDriver) === driver);
    // The other driver has neither members nor leavers.
    if (own.length === 0 && living.length > 0 && leavers.length === 0) continue;
    await driver.refresh(world, state, { network, members: textsOf(own), leavers });
  }
}

/** A file of names. */
interface Told {
  readonly id: string;
  readonly ifname: string;
  readonly text: string;
}

/** What is told, by container. */
function textsOf(told: readonly Told[]): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  for (const { id, text } of told) {
    if (text !== "" && !texts.get(id)?.push(text)) texts.set(id, [text]);
  }
  return texts;
}

/**
 * Whether nothing changes but that a container's lines are added: all names are in hosts files, and none of its own is that of
 * a container that was killed, whose address would stand first.
 */
async function mayJoin(
  world: World,
  state: string,
  network: string,
  all: readonly Told[],
  { id }: NameChange,
): Promise<boolean> {
  const namesOf = ({ text }: Told) => text.split("\n").flatMap((line) => line.split(" ").slice(1));
  const own = [...new Set(all.filter((one) => one.id === id).flatMap(namesOf))];
  for (const one of all) {
    if (one.text.startsWith("#")) return false;
    // Of a thousand texts few are taken apart.
    if (one.id === id || !own.some((name) => one.text.includes(name) && namesOf(one).includes(name))) {
      continue;
    }
    if (identifierProblem(one.id) !== undefined) continue;
    if (await hasEnded(world, state, one.id, { network, ifname: one.ifname })) return false;
  }
  return true;
}

/** Whether a container's namespace is gone. Its record is read only if no link of the host's tells that it is there. */
export async function hasEnded(
  world: World,
  state: string,
  id: string,
  { network, ifname }: { readonly network: string; readonly ifname: string },
): Promise<boolean> {
  if (linkExists(world, vethFrom(await digest(id, network, ifname)))) return false;
  const record = readUndamaged(world, state, id);
  return record !== undefined && reasonToGo(world, { ...record, phase: "done" }) !== undefined;
}

/** The same for every network on which a container has a name. */
export async function refreshAllNames(world: World, state: string): Promise<void> {
  const networks = world.list(`${state}/names`).filter((name) => identifierProblem(name) === undefined);
  await refreshNames(world, state, networks);
}

/** A container has left networks: others are told, as far as they can be; who comes next tells the rest. */
export async function forgetNames(
  world: World,
  state: string,
  left: readonly Pick<Attached, "network">[],
  id: string,
): Promise<void> {
  const networks = left.filter(({ network }) => network.named).map(({ network }) => network.name);
  await refreshNames(world, state, networks, { id, hasLeft: true }).catch(() => {});
}
