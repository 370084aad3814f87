/** What a container cannot be connected to while it runs. */
import { uplinkNamed } from "../../drivers/uplinks/table.ts";
import { pidInside, prefixesOf } from "../../engine/namespace.ts";
import type { ContainerRecord, Namespace } from "../../engine/record.ts";
import { contains, family, parseAddress, parseCidr } from "../../net/address.ts";
import { linkNameProblem, parseMac } from "../../net/names.ts";
import { ipv6Switch } from "../../plan/inside.ts";
import type { World } from "../../plan/world.ts";
import type { Network } from "../networks/catalog.ts";
import type { EndpointOptions } from "./live_networks.ts";

/** Refuses what cannot be connected. @throws Error with the reason */
export function refuseConnecting(record: ContainerRecord, { name, list, configOnly }: Network): void {
  const { id, attachments, container } = record;
  if (configOnly) throw new Error(`cannot create endpoint on configuration-only network ${name}`);
  if (name === "host") {
    throw new Error(
      "cannot connect container to host network - container must be created in host network mode",
    );
  }
  if (!list) {
    throw new Error(
      "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
  }
  if (attachments.some(({ network }) => network.name === name)) {
    throw new Error(`endpoint with name ${id} already exists in network ${name}`);
  }
  refuseUplink(record);
  if (container.owner !== undefined) {
    throw new Error(`Cannot connect container "${id}": that takes entering it, and it is a user's`);
  }
}

/** Refuses a container that is connected by an uplink. @throws Error */
export function refuseUplink({ id, attachments, session }: ContainerRecord): void {
  const uplink = attachments.map(({ by }) => uplinkNamed(by)).find((found) => found !== undefined);
  if (!uplink && !session) return;
  throw new Error(
    `Cannot change the networks of container "${id}": ${uplink?.name ?? "an uplink"} connects it`,
  );
}

/** Refuses what no interface can have. @throws Error */
export function checkValues({ ip, ip6, mac, ifname }: EndpointOptions): void {
  for (const [text, of] of [[ip, 4], [ip6, 6]] as const) {
    const address = addressIn(text);
    if (text !== undefined && (address === undefined || family(address) !== of)) {
      throw new Error(`invalid IPv${of} address: ${text}`);
    }
  }
  if (mac !== undefined && parseMac(mac) === undefined) throw new Error(`invalid MAC address: ${mac}`);
  const problem = ifname === undefined ? undefined : linkNameProblem(ifname);
  if (problem) throw new Error(`Cannot name the interface ${JSON.stringify(ifname)}: ${problem}`);
}

/** An address may have a prefix length, which a network with addresses of IPAM type static needs. */
function addressIn(text: string | undefined): string | undefined {
  return text === undefined ? undefined : parseAddress(text) ?? parseCidr(text)?.address;
}

/** Refuses addresses that the network cannot give. @throws Error */
export function checkAddresses({ name, ipam }: Network, { ip, ip6 }: EndpointOptions): void {
  for (const text of [ip, ip6]) {
    const address = addressIn(text);
    if (address !== undefined && ipam.length > 0 && !ipam.some(({ Subnet }) => contains(Subnet, address))) {
      const subnets = ipam.map(({ Subnet }) => Subnet).join(", ");
      throw new Error(`no configured subnet contains IP address ${text}: network ${name} has ${subnets}`);
    }
  }
}

/** The names of a container's interfaces, as far as they can be seen without entering it. */
function namesIn(world: World, { attachments, container }: ContainerRecord): readonly string[] {
  const pid = pidInside(container);
  const text = pid === undefined ? "" : world.readStart(`/proc/${pid}/net/dev`, 65536) ?? "";
  const seen = Array.from(text.matchAll(/^\s*([^\s:]+):/gm), ([, name]) => name!);
  return [...attachments.map(({ ifname }) => ifname), ...seen];
}

/** The first name ethN that no interface of the container has. */
export function freeName(world: World, record: ContainerRecord): string {
  const taken = namesIn(world, record);
  for (let i = 0;; i++) if (!taken.includes(`eth${i}`)) return `eth${i}`;
}

/** Refuses a name that another interface of the container has. @throws Error */
export function checkName(world: World, record: ContainerRecord, ifname: string): void {
  if (!namesIn(world, record).includes(ifname)) return;
  throw new Error(`Cannot name the interface "${ifname}": container "${record.id}" has one of that name`);
}

/** Whether IPv6 is off in a container's namespace. One that cannot be entered is refused by what comes next. */
export async function isIpv6Off(world: World, container: Namespace): Promise<boolean> {
  const argv = [...prefixesOf(container).container, "cat", `/proc/sys/${ipv6Switch}`];
  return (await world.run(argv, { looks: true })).stdout.trim() === "1";
}
