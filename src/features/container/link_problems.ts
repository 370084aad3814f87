/** What is told of networks that cannot be used as they were asked for. */
import type { PortMapping } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { versions } from "../../wire/cni/result.ts";

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
