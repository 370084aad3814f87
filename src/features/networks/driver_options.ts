import { linkNameProblem } from "../../net/names.ts";
import { parseAddress } from "../../net/address.ts";
import { type GatewayMode, type GatewayModes, readMode } from "../../drivers/main/gateway_modes.ts";

/** What `--driver` may be, beside modes of a container. */
export const drivers = ["bridge", "ptp", "macvlan", "ipvlan"] as const;

export type Driver = typeof drivers[number];

type Options = Readonly<Record<string, string>>;

/** A network to be made, as far as its driver needs it. */
export interface Wanted {
  readonly id: string;
  readonly driver: Driver;
  readonly internal: boolean;
  readonly options: Options;
  /** Those that are asked for; IPv4 has one anyway, unless all are of IPv6. */
  readonly subnets?: readonly string[];
  /** IPv6 has a subnet, too. */
  readonly ipv6?: boolean;
}

/** A network's main plugin without its `ipam`. @throws Error naming the option, in Docker's words where it has some */
export function mainPlugin(wanted: Wanted): Readonly<Record<string, unknown>> {
  const { id, driver, internal, options } = wanted;
  const mtu = readMtu(options);
  const common = { type: driver, ...(mtu === undefined ? {} : { mtu }) };
  if (driver === "macvlan" || driver === "ipvlan") {
    return { ...common, ...onParent(id, driver, internal, options) };
  }
  const asked = readFlag(options, "com.docker.network.bridge.enable_ip_masquerade") ?? true;
  const modes = driver === "bridge" ? modesOf(wanted) : { 4: "nat", 6: "nat" };
  const has = (mode: GatewayMode) => Object.values(modes).map((one) => one === mode);
  const masks = asked && !internal && has("routed").includes(false);
  const shared = { ...common, ipMasq: masks, ...(internal ? { internal } : {}) };
  if (driver === "ptp") return shared;
  const hostBinding = readBinding(options);
  return {
    ...shared,
    ...(hostBinding === undefined ? {} : { hostBinding }),
    bridge: readBridge(options) ?? `br-${id.slice(0, 12)}`,
    isGateway: has("isolated").includes(false),
    ...(has("nat").includes(false) ? { gatewayModes: modes } : {}),
    ...(readFlag(options, "com.docker.network.bridge.enable_icc") === false ? { portIsolation: true } : {}),
  };
}

/** What only networks of a bridge have, and only those on a parent. */
const onlyFor = [
  ["bridge", /^com\.docker\.network\.bridge\.(?!enable_ip_masquerade$)/],
  ["bridge or ptp", /^com\.docker\.network\.bridge\.enable_ip_masquerade$/],
  ["macvlan or ipvlan", /^(parent|macvlan_mode|ipvlan_mode)$/],
] as const;

/**
 * Refuses options of other drivers. If they were ignored, containers that should be isolated would not be, and a bridge
 * would take the address of the router on the parent's network (moby#38731).
 * @throws Error naming the option and its driver
 */
export function refuseAlien(name: string, driver: Driver, options: Options): void {
  for (const [of, pattern] of onlyFor) {
    const alien = of.split(" or ").includes(driver)
      ? undefined
      : Object.keys(options).find((key) => pattern.test(key));
    if (alien === undefined) continue;
    throw new Error(
      `Cannot make network "${name}" of driver ${driver}: its option ${alien} is for ${of}; ` +
        "name the driver with -d, or leave the option out",
    );
  }
}

/** Options of Docker's bridges that are not supported, and what to use instead. */
const unsupported: readonly (readonly [key: string, remedy: string])[] = [
  ["com.docker.network.bridge.inhibit_ipv4", "gateway mode isolated leaves the bridge without an address"],
  [
    "com.docker.network.bridge.trusted_host_interfaces",
    "gateway mode nat-unprotected or routed lets other hosts in by each interface",
  ],
  ["com.docker.network.container_iface_prefix", "ocinet network connect --ifname names an interface"],
];

/**
 * Refuses what Docker's bridges can and ours cannot.
 * @param subnets those that are asked for
 * @throws Error naming the option, and what to use instead
 */
export function refuseUnsupported(name: string, options: Options, subnets: readonly string[]): void {
  const refused = (key: string, remedy: string) =>
    new Error(
      `Cannot make network "${name}": its option ${key}=${
        options[key]
      } is not supported; leave it out: ${remedy}`,
    );
  const found = unsupported.find(([key]) =>
    !["", "0", "f", "false", undefined].includes(options[key]?.toLowerCase())
  );
  if (found) throw refused(...found);
  const ipv4 = "com.docker.network.enable_ipv4";
  const onlyIpv6 = subnets.length > 0 && subnets.every((subnet) => subnet.includes(":"));
  if (readFlag(options, ipv4) === false && !onlyIpv6) {
    throw refused(ipv4, "a network with an IPv6 --subnet alone has no IPv4");
  }
}

/** The host's address that published ports have which name none. */
function readBinding(options: Options): string | undefined {
  const key = "com.docker.network.bridge.host_binding_ipv4";
  const text = options[key];
  if (text === undefined || text === "") return undefined;
  const address = parseAddress(text);
  if (address === undefined) throw unreadable(key, text, "it is not an IP address");
  return address;
}

function readBridge(options: Options): string | undefined {
  const key = "com.docker.network.bridge.name";
  const name = options[key];
  if (name === undefined || name === "") return undefined;
  const problem = linkNameProblem(name);
  if (problem) throw unreadable(key, name, problem);
  return name;
}

function readMtu(options: Options): number | undefined {
  const key = "com.docker.network.driver.mtu";
  const text = options[key] ?? options["mtu"];
  if (text === undefined) return undefined;
  // IPv4 does not work with less, and no link of the kernel's takes more.
  if (/^[0-9]{1,5}$/.test(text) && Number(text) >= 68 && Number(text) <= 65535) return Number(text);
  throw unreadable(key, text, "it is not a number from 68 to 65535");
}

/** As Go's strconv.ParseBool reads it. */
function readFlag(options: Options, key: string): boolean | undefined {
  const text = options[key];
  if (text === undefined) return undefined;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw unreadable(key, text, "it is neither true nor false");
}

const modes = {
  macvlan: ["bridge", "private", "vepa", "passthru"],
  ipvlan: ["l2", "l3", "l3s"],
} as const;

function onParent(
  id: string,
  driver: "macvlan" | "ipvlan",
  internal: boolean,
  options: Options,
): Readonly<Record<string, unknown>> {
  const { parent } = options;
  const mode = options[`${driver}_mode`] ?? options["mode"];
  const known: readonly string[] = modes[driver];
  if (mode !== undefined && !known.includes(mode)) {
    throw new Error(
      `requested ${driver} mode '${mode}' is not valid, '${
        known[0]
      }' mode is the ${driver} driver default; ` +
        `there are: ${known.join(", ")}`,
    );
  }
  if (parent === "lo") throw new Error(`loopback interface is not a valid ${driver} parent link`);
  const problem = parent === undefined ? undefined : linkNameProblem(parent.slice(0, 15));
  if (problem) throw unreadable("parent", parent!, problem);
  return { ...masterOf(id, internal, parent), ...(mode === undefined ? {} : { mode }) };
}

/** An internal network without a parent has a link of its own; `eth0.50` is made if it is not there. */
function masterOf(
  id: string,
  internal: boolean,
  parent: string | undefined,
): Readonly<Record<string, unknown>> {
  if (parent === undefined) return internal ? { master: `dm-${id.slice(0, 12)}`, makeMaster: "dummy" } : {};
  const vlan = /^[^.]+\.([0-9]+)$/.exec(parent)?.[1];
  if (vlan === undefined) return { master: parent };
  if (Number(vlan) >= 1 && Number(vlan) <= 4094) return { master: parent, makeMaster: "vlan" };
  throw new Error(
    `invalid subinterface vlan name ${parent}, example formatting is eth0.10: a VLAN is 1 to 4094`,
  );
}

/** The options that name the gateway modes of IPv4 and IPv6. */
export const gatewayModeKeys = ["ipv4", "ipv6"].map((family) =>
  `com.docker.network.bridge.gateway_mode_${family}`
);

/**
 * The gateway modes of a bridge network: nat where none is given, as in Docker. A family without a subnet has the other's.
 * @throws Error for one that there is not, or that the network cannot have
 */
function modesOf({ options, internal, subnets = [], ipv6 = false }: Wanted): GatewayModes {
  const [four, six] = gatewayModeKeys.map((key) => {
    const text = options[key] || "nat";
    return readMode(text, (reason) => {
      throw unreadable(key, text, reason);
    });
  }) as [GatewayMode, GatewayMode];
  const isSix = (subnet: string) => subnet.includes(":");
  const onlySix = subnets.length > 0 && subnets.every(isSix);
  const modes = { 4: onlySix ? six : four, 6: ipv6 || subnets.some(isSix) ? six : four };
  const used = Object.values(modes);
  if (used.includes("routed") && internal) {
    throw new Error(
      "gateway mode routed opens published ports to other hosts, which an internal network is closed to; " +
        "use another mode, or leave out --internal",
    );
  }
  if (used.includes("isolated") && !internal) {
    throw new Error("gateway mode isolated can only be used for an internal network; add --internal");
  }
  return modes;
}

function unreadable(key: string, value: string, reason: string): Error {
  return new Error(`failed to parse ${key} value: ${JSON.stringify(value)} (${reason})`);
}
