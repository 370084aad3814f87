/** Tries the ways between hosts, as far as this host takes part in networks: packets are sent, and have to come back. */
import { readPlugin } from "../../engine/record.ts";
import { stateDirectory } from "../../engine/state.ts";
import { family } from "../../net/address.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import type { ClusterConfig } from "./cluster_config.ts";
import type { HostRecord } from "./keys.ts";
import { overlayKey } from "./local_records.ts";
import { tunnelLink } from "./tunnel.ts";

/** A host's own address on a network. */
export interface Place {
  readonly network: string;
  readonly encrypted: boolean;
  readonly host: string;
  readonly address: string;
}

/** The most ways that are tried. */
const mostWays = 32;
/** Seconds that an answer may take. */
const wait = "2";

/** What is wrong with the ways to other hosts, with the remedy. */
export async function probeWays(
  world: World,
  config: ClusterConfig,
  places: readonly Place[],
  living: readonly (HostRecord & { readonly name: string })[],
): Promise<readonly string[]> {
  const ping = findProgram(world, "ping")
    ? ["ping"]
    : findProgram(world, "busybox")
    ? ["busybox", "ping"]
    : undefined;
  if (ping === undefined) return [];
  const state = stateDirectory(world);
  const ways = places.flatMap((place) => {
    const mtu = Number(readPlugin(world, state, overlayKey(place.network))?.request["mtu"]);
    const host = living.find(({ name }) => name === place.host);
    return host === undefined || place.host === config.name || !mtu ? [] : [{ ...place, mtu, to: host }];
  });
  const reached = async (address: string, size: number) => {
    const argv = [...ping, "-q", "-c", "2", "-W", wait, "-s", String(size), address];
    return (await world.run(argv, { looks: true }).catch(() => undefined))?.code === 0;
  };
  const problems = await Promise.all(
    ways.slice(0, mostWays).map(async ({ address, mtu, ...way }) => {
      const where = `host "${way.host}" at ${way.to.underlay} on network "${way.network}"`;
      if (!await reached(address, 16)) {
        return `nothing comes back from ${where}: ${await remedyFor(world, config, way.encrypted, way.to)}`;
      }
      // Headers of IP and ICMP.
      if (await reached(address, mtu - (family(address) === 4 ? 28 : 48))) return undefined;
      return `packets of ${mtu} bytes do not come back from ${where}, and small ones do: the way between the hosts takes ` +
        `less; lower the MTU of the underlay's link on both hosts, or make the network anew with a smaller "--mtu"`;
    }),
  );
  return problems.filter((one) => one !== undefined);
}

async function remedyFor(
  world: World,
  { port, encryptionPort, path }: ClusterConfig,
  encrypted: boolean,
  host: HostRecord,
): Promise<string> {
  if (!encrypted) {
    return `let UDP port ${port} in on both hosts, from any source port, or set another "port" in ${path} on all hosts`;
  }
  const { stdout } = await world.run(["wg", "show", tunnelLink, "latest-handshakes"], { looks: true })
    .catch(() => ({ stdout: "" }));
  const time = stdout.split("\n").map((row) => row.split("\t")).find(([key]) => key === host.tunnel?.key)
    ?.[1];
  const shaken = time === undefined
    ? "WireGuard does not know it; see the agent's log"
    : time === "0"
    ? "WireGuard has had no answer from it"
    : "WireGuard has had answers from it";
  return `${shaken}; let UDP port ${encryptionPort} in here, and ${
    host.tunnel?.port ?? encryptionPort
  } there`;
}
