import { addressOf } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { Spawn, Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { type Relayed, relayPort, startRelay } from "../../drivers/uplinks/relay.ts";
import type { Attached } from "../../engine/record.ts";
import { type Entering, entranceOf, socketPath } from "./rootless.ts";
import { containerPaths } from "../../engine/state.ts";
import { hostOf } from "./uplink.ts";

/** Where the relay keeps its pids, log and fifos. */
export function relayDirectory(state: string, id: string): string {
  return `${containerPaths(state, id).directory}/relay`;
}

/**
 * Leads those of the ports that are the relay's. Without any it is started for a session alone, for whose containers it
 * cannot be started from inside.
 * @param running what started it, if it runs
 * @param attached the container's network, which is connected by now, or will be
 */
export function planRelay(
  world: World,
  state: string,
  { entering, attached, ports, running, isSession }: {
    readonly entering: Entering;
    readonly attached: Attached;
    readonly ports: readonly PortMapping[];
    readonly running?: Spawn;
    readonly isSession?: boolean;
  },
): readonly Step[] {
  const own = ports.filter(({ relay }) => relay);
  if (own.length === 0 && (!isSession || world.relayProblem !== undefined)) return [];
  const guests = attached.result!.ips.map(({ address }) => addressOf(address));
  const relayed = relayedOf(world, state, entering, attached.digest);
  const host = hostOf(world);
  return [
    running ?? startRelay(relayed),
    ...own.map((port) => relayPort(relayed.socket, guests, host, port)),
  ];
}

function relayedOf(
  world: World,
  state: string,
  entering: Entering,
  digest: string,
): Relayed {
  const directory = relayDirectory(state, entering.id);
  world.makeDirectory(directory);
  const socket = socketPath(state, entering.id, digest, "relay");
  return {
    ...{ entrance: { ...entranceOf(world, state, entering), directory }, socket },
    program: {
      outside: world.confined([socket], { runs: "nsenter" }),
      inside: world.confined([], { libc: true }),
    },
  };
}
