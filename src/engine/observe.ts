import {
  addressOf,
  contains,
  family,
  fromNumber,
  lengthOf,
  networkOf,
  parseAddress,
  toNumber,
} from "../net/address.ts";
import { lookInside, parseInside } from "../plan/inside.ts";
import type { Device, HostState, Link } from "../plan/host_state.ts";
import type { World } from "../plan/world.ts";

/** What to look for. */
export interface AllLookups {
  readonly links: readonly string[];
  readonly sysctls: readonly string[];
  readonly defaultMaster: boolean;
  readonly advertised: boolean;
  readonly devices: readonly string[];
  readonly files: readonly string[];
  readonly reached: readonly string[];
  readonly inside: boolean;
  readonly insideSysctls: readonly string[];
  readonly answers: readonly string[];
}

/** Looks at the host's side, and where it is wanted and there, through the words that enter it, at the container's. */
export async function observe(
  world: World,
  wanted: AllLookups,
  container: readonly string[] | undefined,
): Promise<HostState> {
  const seen = { ...observeHost(world, wanted), ...await ask(world, wanted.answers) };
  if (!wanted.inside || !container) return seen;
  const argv = [...container, "sh", "-c", lookInside, "sh", ...wanted.insideSysctls];
  const { code, stdout, stderr } = await world.run(argv, { looks: true });
  if (code !== 0) throw new Error(`Cannot look into the container's network namespace: ${stderr.trim()}`);
  return { ...seen, inside: parseInside(stdout, wanted.insideSysctls) };
}

/** What commands print; what is gone has no answer, and no process is started for a link that is not there. */
async function ask(world: World, commands: readonly string[]): Promise<Pick<HostState, "answers">> {
  if (commands.length === 0) return {};
  const isThere = (command: string) => {
    const link = / dev (\S+)/.exec(command)?.[1];
    return link === undefined || world.stat(`/proc/sys/net/ipv4/conf/${link}`) !== undefined;
  };
  const answers = await Promise.all(
    commands.filter(isThere).map(async (command) => {
      const { stdout } = await world.run(command.split(" "), { looks: true });
      return [command, stdout] as const;
    }),
  );
  return { answers: new Map(answers) };
}

/**
 * Looks at the host's side, without starting a program: /proc/self/net is always that of our own namespace, and /sys
 * is believed only where it agrees with it (it shows the namespace it was mounted in).
 */
function observeHost(
  world: World,
  { links, sysctls, defaultMaster, advertised, devices, files, reached }: AllLookups,
): HostState {
  const route = defaultMaster ? defaultRouteLink(world) : undefined;
  const found = devices.flatMap((id) => {
    const device = findDevice(world, id);
    return device === undefined ? [] : [[id, device] as const];
  });
  const behind = [route, ...found.map(([, { link }]) => link)];
  const wanted = new Set([...links, ...behind.filter((name) => name !== undefined)]);
  const names = wanted.size > 0 ? linkNames(world) : new Set<string>();
  return {
    links: new Map(
      [...wanted].filter((name) => names.has(name)).map((name) => [name, readLink(world, name)]),
    ),
    devices: new Map(found),
    sysctls: new Map(sysctls.map((key) => [key, world.read(`/proc/sys/${key}`)?.trim() ?? ""])),
    files: new Map(files.flatMap((path) => {
      const text = world.read(path);
      return text === undefined ? [] : [[path, text] as const];
    })),
    ...(reached.length === 0 ? {} : { reached: linksTo(world, reached) }),
    ...(route === undefined ? {} : { defaultLink: route }),
    ...(advertised ? { advertised: advertisedLinks(world) } : {}),
  };
}

/** The names of the links in our network namespace. */
export function linkNames(world: World): ReadonlySet<string> {
  const rows = (world.read("/proc/self/net/dev") ?? "").split("\n").slice(2);
  return new Set(rows.filter((row) => row !== "").map((row) => row.split(":")[0]!.trim()));
}

function readLink(world: World, name: string): Link {
  const file = (leaf: string) => world.read(`/sys/class/net/${name}/${leaf}`)?.trim() ?? "";
  const index = Number(file("ifindex"));
  const master = world.readLink(`/sys/class/net/${name}/master`)?.split("/").at(-1);
  const [flags, lower] = [Number(file("flags")), Number(file("iflink"))];
  const device = world.readLink(`/sys/class/net/${name}/device`);
  if (index === 0 || index !== indexInProc(world, name)) {
    throw new Error(
      `Cannot look at link "${name}": /sys shows another network namespace than this process is in; ` +
        "mount a sysfs of this one, as `ip netns exec` does",
    );
  }
  const kind = /^DEVTYPE=(.*)$/m.exec(file("uevent"))?.[1] ?? "";
  return {
    name,
    index,
    mac: file("address"),
    mtu: Number(file("mtu")),
    kind,
    ...(kind === "bridge" ? bridgeFacts(file) : {}),
    up: (flags & 1) !== 0,
    promiscuous: (flags & 0x100) !== 0,
    allMulticast: (flags & 0x200) !== 0,
    queueLength: Number(file("tx_queue_len")),
    ...(device === undefined
      ? { hardware: false }
      : { hardware: true, device: { name: device, port: file("dev_port") } }),
    ...(lower === index || lower === 0 ? {} : { lower }),
    ...(master === undefined ? {} : {
      master,
      port: { hairpin: file("brport/hairpin_mode") === "1", isolated: file("brport/isolated") === "1" },
    }),
    addresses: [...addresses4(world, name), ...addresses6(world, name)],
  };
}

/** An address that was set is of type 3 (NET_ADDR_SET). A kernel without VLANs on bridges has no such files. */
function bridgeFacts(file: (leaf: string) => string): Pick<Link, "floatingMac" | "vlans"> {
  const filtering = file("bridge/vlan_filtering");
  return {
    ...(file("addr_assign_type") === "3" ? {} : { floatingMac: true }),
    ...(filtering === ""
      ? {}
      : { vlans: { filtering: filtering === "1", default: Number(file("bridge/default_pvid")) } }),
  };
}

/** The device with a directory in /sys, or whose link has a MAC address; virtio puts a level in between. */
function findDevice(world: World, id: string): Device | undefined {
  if (!id.startsWith("/")) {
    const link = [...linkNames(world)].find((name) =>
      world.read(`/sys/class/net/${name}/address`)?.trim() === id
    );
    return link === undefined ? undefined : { link };
  }
  if (world.stat(id) === undefined) return undefined;
  const between = world.list(id).filter((name) => name.startsWith("virtio")).map((name) =>
    `${id}/${name}/net`
  );
  const link = [`${id}/net`, ...between].map((directory) => world.list(directory)).find((links) =>
    links.length > 0
  )
    ?.toSorted()[0];
  const driver = world.readLink(`${id}/driver`)?.split("/").at(-1);
  return { ...(link === undefined ? {} : { link }), ...(driver === undefined ? {} : { driver }) };
}

function indexInProc(world: World, name: string): number {
  const rows = (world.read("/proc/self/net/dev_mcast") ?? "").split("\n").concat(
    (world.read("/proc/self/net/igmp") ?? "").split("\n").map((row) => row.replace(/\s*:.*/, "")),
  );
  const row = rows.map((row) => row.trim().split(/\s+/)).find(([, link]) => link === name);
  return row ? Number(row[0]) : Number(world.read(`/sys/class/net/${name}/ifindex`));
}

/** The link of the narrowest route to each of the addresses. */
function linksTo(world: World, addresses: readonly string[]): ReadonlyMap<string, string> {
  const routes = routes4(world).toSorted((a, b) => lengthOf(b.subnet) - lengthOf(a.subnet));
  return new Map(addresses.flatMap((address) => {
    const found = routes.find(({ subnet }) => contains(subnet, address));
    return found ? [[address, found.link] as const] : [];
  }));
}

/** The IPv4 routes of the main table. */
function routes4(
  world: World,
): readonly { readonly link: string; readonly subnet: string; readonly gateway: string }[] {
  const rows = (world.read("/proc/self/net/route") ?? "").split("\n").slice(1).map((row) => row.split("\t"));
  return rows.filter(({ length }) => length > 7).map((row) => ({
    link: row[0]!,
    subnet: `${fromHex(row[1]!)}/${prefixLength(row[7]!)}`,
    gateway: row[2]!,
  }));
}

/** The IPv4 addresses of a link: our own that lie in a subnet which a route without gateway leads to it. */
function addresses4(world: World, name: string): readonly string[] {
  const subnets = routes4(world).filter(({ link, gateway }) => link === name && gateway === "00000000")
    .map(({ subnet }) => subnet);
  if (subnets.length === 0) return [];
  const own = ownAddresses4(world);
  return subnets.flatMap((subnet) =>
    own.map((address) => `${address}/${subnet.split("/")[1]}`).filter((cidr) => networkOf(cidr) === subnet)
  );
}

function ownAddresses4(world: World): readonly string[] {
  return ownSubnets4(world, "self").filter((subnet) => lengthOf(subnet) === 32).map(addressOf);
}

/** What the kernel takes in as its own: addresses, and subnets such as 127.0.0.0/8. */
function ownSubnets4(world: World, pid: number | "self"): readonly string[] {
  const leaves = (world.read(`/proc/${pid}/net/fib_trie`) ?? "").matchAll(/\|-- (\S+)((?:\n +\/.*)+)/g);
  const subnets = Array.from(
    leaves,
    ([, address, rows]) =>
      Array.from(rows!.matchAll(/\/([0-9]+) \S+ LOCAL/g), ([, length]) => `${address}/${length}`),
  );
  return [...new Set(subnets.flat())];
}

/** The same of IPv6: routes with the flag RTF_LOCAL, and addresses that are still looked for elsewhere. */
function ownSubnets6(world: World, pid: number | "self"): readonly string[] {
  const addresses = rowsOf(world.read(`/proc/${pid}/net/if_inet6`)).map(([address]) => [address!, "80"]);
  const routes = rowsOf(world.read(`/proc/${pid}/net/ipv6_route`))
    .filter((row) => parseInt(row[8]!, 16) >= 0x80000000).map(([address, length]) => [address!, length!]);
  return [...addresses, ...routes].map(([address, length]) =>
    `${fromHex6(address!)}/${parseInt(length!, 16)}`
  );
}

/**
 * Whether programs may listen on an address: it is the host's, or the host lets them listen on what it may come to have.
 * @param pid a process in the host's network namespace, if that is not ours
 */
export function isHostAddress(world: World, address: string, pid: number | "self" = "self"): boolean {
  const [version, subnets] = family(address) === 4 ? [4, ownSubnets4] as const : [6, ownSubnets6] as const;
  return subnets(world, pid).some((subnet) => contains(subnet, address)) ||
    world.read(`/proc/sys/net/ipv${version}/ip_nonlocal_bind`)?.trim() === "1";
}

/** /proc/net/route has addresses as they lie in memory. */
function fromHex(hex: string): string {
  return fromNumber(BigInt(`0x${hex.match(/../g)!.reverse().join("")}`), 4);
}

function prefixLength(hexMask: string): number {
  return toNumber(fromHex(hexMask)).toString(2).replaceAll("0", "").length;
}

/** The IPv6 addresses of a link, those of link scope (0x20) left out. */
function addresses6(world: World, name: string): readonly string[] {
  const rows = rowsOf(world.read("/proc/self/net/if_inet6"));
  return rows.filter((row) => row[5] === name && row[3] !== "20").map((row) =>
    `${fromHex6(row[0]!)}/${parseInt(row[2]!, 16)}`
  );
}

function fromHex6(hex: string): string {
  return parseAddress(hex.match(/..../g)!.join(":"))!;
}

/** The words of each line of a file in /proc. */
function rowsOf(text = ""): readonly (readonly string[])[] {
  return text.split("\n").filter((line) => line !== "").map((line) => line.trim().split(/\s+/));
}

function defaultRouteLink(world: World): string | undefined {
  const rows = (world.read("/proc/self/net/route") ?? "").split("\n").slice(1).map((row) => row.split("\t"));
  const four = rows.find((row) => row[1] === "00000000" && row[7] === "00000000")?.[0];
  if (four !== undefined) return four;
  return defaultLinks6(world)[0];
}

/** Of IPv6's default routes, those that reject being on the loopback link. */
function defaultLinks6(world: World): readonly string[] {
  const rows = rowsOf(world.read("/proc/self/net/ipv6_route"));
  return rows.filter((row) => row[0] === "0".repeat(32) && row[1] === "00" && row[9] !== "lo").map((row) =>
    row[9]!
  );
}

/** What a host that forwards already does on its own account stays so; its table of routes may be that of the world. */
function advertisedLinks(world: World): readonly string[] {
  if (world.read("/proc/sys/net/ipv6/conf/all/forwarding")?.trim() === "1") return [];
  return [...new Set(defaultLinks6(world))].filter((link) =>
    world.read(`/proc/sys/net/ipv6/conf/${link}/accept_ra`)?.trim() === "1"
  );
}

/** Whether the host has IPv6 beyond its own links: an address of global scope (0x00) that is not lo's. */
export function hasIpv6(world: World): boolean {
  return rowsOf(world.read("/proc/self/net/if_inet6")).some((row) => row[3] === "00" && row[5] !== "lo");
}
