/** The options of `ocinet network`. */
import { serviceOptions } from "../features/networks/service_options.ts";
import { containerOptions, type Option } from "../wire/oci/options.ts";

function option(name: string, value: string, text: string, many: boolean, short?: string): Option {
  return { name, value, text, many, annotation: false, ...(short === undefined ? {} : { short }) };
}

/** As `docker network create` has them. */
export const createOptions: readonly Option[] = [
  option(
    "driver",
    "DRIVER",
    "bridge, ptp, macvlan, ipvlan, overlay or a plugin of Docker's (default: bridge)",
    false,
    "d",
  ),
  option("subnet", "CIDR", "a subnet (default: a free one)", true),
  option("ip-range", "CIDR", "the part of a subnet from which containers get addresses", true),
  option("gateway", "ADDRESS", "the gateway of a subnet (default: its first address)", true),
  option("aux-address", "NAME=ADDRESS", "an address that no container gets", true),
  option("ipam-driver", "DRIVER", "what allocates addresses: default, or a plugin of Docker's", false),
  option("ipam-opt", "KEY=VALUE", "an option for an IPAM driver that is a plugin", true),
  option("label", "KEY=VALUE", "a label", true),
  option("config-from", "NAME", "take the options of a network made with --config-only", false),
  option(
    "opt",
    "KEY=VALUE",
    "names=dns, or an option of the driver: parent, com.docker.network.bridge.name …",
    true,
    "o",
  ),
];

/** Flags of `create`, which take no value. */
export const createFlags = {
  ipv6: "also give it an IPv6 subnet",
  internal: "containers reach only each other and the host",
  attachable: "is stored, and has no effect",
  "config-only": "make no network, but store the options for --config-from",
};

/** Options of `ls`. */
export const listOptions: readonly Option[] = [
  option(
    "filter",
    "KEY=VALUE",
    "name, id, driver, label, scope, type (builtin, custom), dangling",
    true,
    "f",
  ),
  option("format", "FORMAT", "table, json, or a template such as {{.Name}}", false),
];

/** Options of `inspect`. */
export const inspectOptions: readonly Option[] = [
  option("format", "FORMAT", "json, or a template such as {{.Driver}}", false, "f"),
];

/** Options of `prune`. */
export const pruneOptions: readonly Option[] = [
  option("filter", "KEY=VALUE", "label, label!, until", true),
];

/** Where networks are beside the usual directory. */
const netDirectory = option("net-dir", "DIR", "an additional directory of network files", true);

/** Options of `disconnect`. */
export const disconnectOptions: readonly Option[] = [netDirectory];

/** As `docker network connect` has them. */
export const connectOptions: readonly Option[] = [
  netDirectory,
  option("ip", "ADDRESS", "its IPv4 address", false),
  option("ip6", "ADDRESS", "its IPv6 address", false),
  option("alias", "NAME", "an additional name on the network", true),
  option("mac-address", "MAC", "the interface's MAC address", false),
  option("ifname", "NAME", "the interface's name (default: eth0, eth1 …, the first that is free)", false),
  option(
    "gw-priority",
    "NUMBER",
    "the network with the greatest number has the default route (default: 0)",
    false,
  ),
  ...containerOptions.filter(({ name }) => serviceOptions.includes(name)),
];
