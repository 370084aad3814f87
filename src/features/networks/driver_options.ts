import { linkNameProblem } from "../../net/names.ts";
import { parseAddress } from "../../net/address.ts";

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
}

/** A network's main plugin without its `ipam`. @throws Error naming the option, in Docker's words where it has some */
export function mainPlugin({ id, driver, internal, options }: Wanted): Readonly<Record<string, unknown>> {
  const mtu = readMtu(options);
  const common = { type: driver, ...(mtu === undefined ? {} : { mtu }) };
  if (driver === "macvlan" || driver === "ipvlan") {
    return { ...common, ...onParent(id, driver, internal, options) };
  }
  const asked = readFlag(options, "com.docker.network.bridge.enable_ip_masquerade") ?? true;
  const mode = driver === "bridge" ? gatewayMode(options, internal) : "nat";
  const masks = asked && !internal && mode !== "routed";
  const shared = { ...common, ipMasq: masks, ...(internal ? { internal } : {}) };
  if (driver === "ptp") return shared;
  const hostBinding = readBinding(options);
  return {
    ...shared,
    ...(hostBinding === undefined ? {} : { hostBinding }),
    bridge: readBridge(options) ?? `br-${id.slice(0, 12)}`,
    isGateway: mode !== "isolated",
    macFromAddress: true,
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

/** The options that {@link gatewayMode} reads. */
export const gatewayModeKeys = ["ipv4", "ipv6"].map((family) =>
  `com.docker.network.bridge.gateway_mode_${family}`
);

const gatewayModes = ["nat", "nat-unprotected", "routed", "isolated"] as const;

/** How containers of a bridge are reached, and reach others. */
export type GatewayMode = typeof gatewayModes[number];

/**
 * The gateway mode of a bridge network, which is one for all of its families.
 * @param subnets of a new network: a family whose mode is not given would have nat, as in Docker
 * @throws Error for another, or for modes that differ
 */
export function gatewayMode(
  options: Options,
  internal: boolean,
  subnets: readonly string[] = [],
): GatewayMode {
  const modes = gatewayModeKeys.flatMap((key) => {
    const text = options[key] || undefined;
    const mode = gatewayModes.find((one) => one === text);
    if (text === undefined) return [];
    if (mode) return [mode];
    throw unreadable(key, text, `there are ${gatewayModes.join(", ")}`);
  });
  const [mode = "nat", other = mode] = modes;
  if (mode !== other) {
    throw new Error(`Cannot use gateway modes ${mode} and ${other}: a network has one for both families`);
  }
  if (mode === "routed" && internal) {
    throw new Error(
      "gateway mode routed opens published ports to other hosts, which an internal network is closed to; " +
        "use another mode, or leave out --internal",
    );
  }
  if (mode === "isolated" && !internal) {
    throw new Error("gateway mode isolated can only be used for an internal network; add --internal");
  }
  const missing = subnets.map((subnet) => gatewayModeKeys[subnet.includes(":") ? 1 : 0]!)
    .find((key) => (options[key] || "nat") !== mode);
  if (missing !== undefined) {
    throw new Error(
      `Cannot use gateway mode ${mode} for one family: a network has one for both; add -o ${missing}=${mode}`,
    );
  }
  return mode;
}

function unreadable(key: string, value: string, reason: string): Error {
  return new Error(`failed to parse ${key} value: ${JSON.stringify(value)} (${reason})`);
}
