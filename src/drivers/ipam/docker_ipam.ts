import { CniError, messageOf } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { parseRoute, type Route } from "../../wire/cni/result.ts";
import { parseLeased } from "../../wire/cnm/client.ts";
import { contains, parseCidr } from "../../net/address.ts";
import { macFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { call } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { activatePlugin, askPlugin, callPlugin, withRetries } from "../../plan/docker_plugins.ts";
import type { Lease } from "../plugin.ts";
import { noteLease, releaseOutlived } from "./docker_leases.ts";
import { wantedAddress, wantedAddresses } from "./wanted.ts";

/** The addresses are known before the link exists. */
export const kind = "local";

/** A plugin of Docker's gives them. */
export const remote = true;

/** It reads `IP`. */
export const readsArgs = true;

interface Pool {
  readonly id: string;
  readonly subnet: string;
  readonly gateway?: string;
}

interface Conf {
  readonly plugin: string;
  readonly pools: readonly Pool[];
  /** It wants to know the MAC address of each endpoint. */
  readonly needsMac: boolean;
  readonly wanted: readonly string[];
  readonly routes: readonly Route[];
}

/** Reads the `ipam` object, which `network create` has written. */
export function parse(conf: Fields): Conf {
  const ipam = conf.object("ipam");
  const pools = (ipam?.objects("pools") ?? []).map((pool) => {
    const [id = "", subnet = "", gateway] = ["id", "subnet", "gateway"].map((key) => pool.string(key));
    if (id !== "" && parseCidr(subnet)) return { id, subnet, ...(gateway === undefined ? {} : { gateway }) };
    throw new CniError("invalidConfig", 'Cannot use "pools" of ipam: each has an "id" and a "subnet"');
  });
  const plugin = ipam?.string("plugin");
  if (plugin === undefined) throw new CniError("invalidConfig", 'Cannot use ipam: it names no "plugin"');
  return {
    ...{ plugin, pools, needsMac: ipam?.boolean("needsMac") ?? false },
    routes: ipam?.objects("routes")?.map(parseRoute) ?? [],
    wanted: wantedAddresses(conf),
  };
}

/**
 * Asks the plugin for an address of each pool. Which one it gives is known only then, so an address is lost to the plugin
 * if this process is killed before it has recorded the answer.
 */
export async function lease(conf: Conf, at: Attachment, world: World): Promise<Lease> {
  const { plugin, pools } = conf;
  const wanted = [...conf.wanted, ...(at.args.get("IP")?.split(",").map(wantedAddress) ?? [])];
  const foreign = wanted.find((address) => !pools.some(({ subnet }) => contains(subnet, address)));
  if (foreign !== undefined) {
    throw new CniError("internal", `no configured subnet contains IP address ${foreign}`);
  }
  const taken: Leased[] = [];
  const giveUp = () => taken.forEach((one) => void callPlugin(world, plugin, release(one)).catch(() => {}));
  try {
    await activatePlugin(world, plugin, "IpamDriver", withRetries);
    await releaseOutlived(world, plugin);
    for (const { id, subnet, gateway } of pools) {
      const answer = await askPlugin(world, plugin, "IpamDriver.RequestAddress", {
        PoolID: id,
        Address: wanted.find((address) => contains(subnet, address)) ?? "",
        Options: optionsOf(conf, at),
      });
      taken.push({ id, address: parseLeased(answer, subnet), ...(gateway === undefined ? {} : { gateway }) });
    }
  } catch (error) {
    giveUp();
    throw new CniError("internal", messageOf(error));
  }
  const notes = await Promise.all(taken.map((one) => noteLease(world, { plugin, undo: release(one) })));
  return {
    ...{ ips: taken.map(({ id: _, ...ip }) => ip), routes: conf.routes, dns: {}, claims: notes.flat() },
    steps: taken.map((one) =>
      call(plugin, `address ${at.containerId} ${at.ifname} ${one.address}`, { undo: release(one) })
    ),
    giveUp,
  };
}

function optionsOf({ needsMac }: Conf, at: Attachment): Readonly<Record<string, string>> {
  return {
    "com.docker.network.endpoint.name": at.containerId,
    ...(needsMac ? { "com.docker.network.endpoint.macaddress": macFrom(at.digest) } : {}),
  };
}

interface Leased {
  readonly id: string;
  readonly address: string;
  readonly gateway?: string;
}

function release({ id, address }: Leased): string {
  return `IpamDriver.ReleaseAddress ${JSON.stringify({ PoolID: id, Address: address.split("/")[0] })}`;
}
