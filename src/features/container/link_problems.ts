/** What is told of networks that cannot be used as they were asked for. */
import { addressOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { type Result, versions } from "../../wire/cni/result.ts";
import { together } from "../../engine/chain.ts";
import { observe } from "../../engine/observe.ts";
import type { Attached } from "../../engine/record.ts";

/** The network's version of CNI is none that is known. */
export function unknownVersion({ name, cniVersion }: NetworkList): Error {
  const known = versions.join(", ");
  return new Error(
    `Cannot use cniVersion ${JSON.stringify(cniVersion)} of network "${name}": known are ${known}`,
  );
}

/** The container has no address that the port could lead to. */
export function noAddress(network: string, { hostPort, family }: PortMapping): Error {
  const address = family === undefined ? "address" : `IPv${family} address`;
  return new Error(`Cannot publish port ${hostPort}: network "${network}" gives the container no ${address}`);
}

/** Ports wait until the container has another network. */
export function tellClosed(world: World, network: string): void {
  world.warn(`published ports stay closed: network "${network}" is internal`);
}

/**
 * The host may not reach the container, so that what it forwards gets nowhere.
 * @param bridge the bridge of the network, if that is its type: the administrator may have given the host an address on it
 */
export async function tellApart(
  world: World,
  { network, by }: Pick<Attached, "network" | "by">,
  { ips }: Result,
  bridge: string | undefined,
): Promise<void> {
  const own = ips.map(({ address }) => addressOf(address));
  const { reached } = await observe(world, together([{ reached: own }]), undefined);
  if (by === "bridge" && own.some((address) => reached?.get(address) === bridge)) return;
  const why = by === "bridge" ? "an address" : "a link";
  world.warn(
    `published ports may lead nowhere: the host does not have ${why} on network "${network.name}" (${by}); ` +
      `use the container's own address (${
        own.join(", ")
      }), or add a network that the host is on, such as default`,
  );
}

/** An option that means nothing to a container in a mode without networks of its own. */
export function pointless(option: "publish" | "limit" | "uplink", mode: string): Error {
  const isHost = mode === "host";
  const [what, reason] = {
    publish: [
      "publish ports",
      isHost ? "the container has the host's ports already" : "the container has loopback only",
    ],
    limit: ["limit a container's traffic", isHost ? "it is the host's" : "there is none"],
    uplink: ["use an uplink", "there is nothing to connect"],
  }[option] as [string, string];
  return new Error(`Cannot ${what} with --net=${mode}: ${reason}`);
}
