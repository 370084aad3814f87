import { addressOf, contains, family } from "../../net/address.ts";
import { boundTo, type PortMapping } from "../../net/port_mapping.ts";
import { type NetworkList, parseNetworkList } from "../../wire/cni/network_list.ts";
import type { PodmanNetwork } from "../../wire/netavark/network.ts";
import type { PodmanAttachment } from "../../wire/netavark/requests.ts";
import { type Driver, mainPlugin } from "../networks/driver_options.ts";
import { driverOf } from "../networks/plugin_options.ts";

/** Options that netavark's own drivers have as well. */
export const podmanOptions = ["metric", "no_default_route"];

/** The interface on the network as a CNI network, with the addresses that podman chose, and the ports to publish. */
export interface Translated {
  readonly list: NetworkList;
  /** The list's text. */
  readonly config: string;
  readonly ports: readonly PortMapping[];
}

/** @throws Error for what the network's driver cannot do */
export function translate(attachment: PodmanAttachment): Translated {
  const { on, ports } = attachment;
  const driver = driverOf(on.options, podmanOptions);
  const { hostBinding, ...main } = mainOf(on, driver);
  const routed = driver === "bridge" || driver === "ptp";
  const published = boundTo(hostBinding as string | undefined, ports);
  if (published.length > 0 && !routed) {
    throw new Error(
      `Cannot publish ports on network ${on.name}: its type is ${driver}, which the host is not on`,
    );
  }
  const plugins = [
    { ...main, ...macOf(attachment, driver), ipam: ipamOf(attachment) },
    ...(published.length > 0 ? [{ type: "portmap", capabilities: { portMappings: true } }] : []),
  ];
  const config = JSON.stringify({ cniVersion: "1.0.0", name: on.name, plugins });
  return { list: parseNetworkList(config, `network ${on.name}`), config, ports: published };
}

/** The network's main plugin; podman's `network_interface` is the bridge, or the parent. */
export function mainOf(
  { id, internal, options, networkInterface, subnets }: PodmanNetwork,
  driver: Driver,
): Readonly<Record<string, unknown>> & { readonly type?: string } {
  const key = driver === "bridge" ? "com.docker.network.bridge.name" : "parent";
  const main = mainPlugin({
    ...{ id, driver, internal },
    options: { ...(networkInterface === undefined ? {} : { [key]: networkInterface }), ...options },
  });
  // Without a gateway the bridge has no address.
  const led = subnets.some(({ gateway }) => gateway !== undefined);
  return driver === "bridge" ? { ...main, isGateway: led, ipMasq: main["ipMasq"] === true && led } : main;
}

/** Links of other types have one of their own, which podman asks for when it reloads a network. */
function macOf({ mac }: PodmanAttachment, driver: Driver): Readonly<Record<string, unknown>> {
  return mac !== undefined && (driver === "bridge" || driver === "macvlan") ? { args: { cni: { mac } } } : {};
}

function ipamOf({ on, addresses }: PodmanAttachment): Readonly<Record<string, unknown>> {
  if (on.ipamDriver === "dhcp") return { type: "dhcp" };
  if (addresses.length === 0) return {};
  return {
    type: "static",
    addresses: addresses.map((address) => {
      const gateway = on.subnets.find(({ subnet }) => contains(subnet, addressOf(address)))?.gateway;
      return { address, ...(gateway === undefined ? {} : { gateway }) };
    }),
    routes: [...defaultRoutes(on, addresses), ...on.routes],
  };
}

function defaultRoutes(
  { internal, subnets, options }: PodmanNetwork,
  addresses: readonly string[],
): readonly Readonly<Record<string, unknown>>[] {
  if (internal || /^(1|t|true)$/i.test(options["no_default_route"] ?? "")) return [];
  const priority = metricOf(options["metric"]);
  const has = (of: 4 | 6) =>
    subnets.some(({ subnet, gateway }) =>
      gateway !== undefined && family(gateway) === of &&
      addresses.some((address) => contains(subnet, addressOf(address)))
    );
  return ([[4, "0.0.0.0/0"], [6, "::/0"]] as const).filter(([of]) => has(of))
    .map(([, dst]) => ({ dst, ...(priority === undefined ? {} : { priority }) }));
}

function metricOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new Error(`Cannot use option metric ${JSON.stringify(text)}: it is not a number`);
}
