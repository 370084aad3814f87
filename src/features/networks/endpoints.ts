import { family } from "../../net/address.ts";
import { digest } from "../../net/names.ts";
import { hasBootEnded, staleness } from "../../engine/namespace.ts";
import { type BaseRecord, containerIds, pluginKeys, readPlugin, readUndamaged } from "../../engine/record.ts";
import type { World } from "../../plan/world.ts";
import type { Result } from "../../wire/cni/result.ts";

/** A container's interface on a network. */
export interface NetworkEndpoint {
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
  readonly endpointId: string;
  readonly mac: string;
  /** Its address in each family with its subnet's length, or "". */
  readonly ipv4: string;
  readonly ipv6: string;
  /** Its container is there. */
  readonly isRunning: boolean;
}

/**
 * Every endpoint that is recorded, on any network: of containers by hook or `up`, and of those of CNI runtimes; also in the
 * user's session, which has the same networks, and a /run of its own.
 */
export async function endpointsIn(
  world: World,
  state: string,
  root = "",
): Promise<readonly NetworkEndpoint[]> {
  const all = await Promise.all(containerIds(world, state).map((id) => endpointsOf(world, state, id, root)));
  const session = readUndamaged(world, state, "session");
  if (!session?.session || staleness(world, session) !== undefined) return all.flat();
  const inner = `/proc/${session.container.init!.pid}/root`;
  const inside = await endpointsIn(world, `${inner}/run/ocinet`, inner);
  return [...all.flat(), ...inside.map((one) => ({ ...one, container: `session/${one.container}` }))];
}

/** The endpoints of one container. @param root what its paths begin with from here; /proc is shared */
export async function endpointsOf(
  world: World,
  state: string,
  id: string,
  root = "",
): Promise<readonly NetworkEndpoint[]> {
  const record = readUndamaged(world, state, id);
  const own = (record?.attachments ?? []).map(({ network, ifname, result }) =>
    endpoint(world, fromHere(record!, root), { network: network.name, ifname, result })
  );
  const plugins = pluginKeys(world, state, id)
    .filter(({ network, ifname }) =>
      !record?.attachments.some((one) => one.network.name === network && one.ifname === ifname)
    )
    .flatMap((key) => readPlugin(world, state, key) ?? []);
  // Of one interface the record with a result says most.
  const byInterface = new Map(
    [...plugins].sort((a, b) => Number(a.result !== undefined) - Number(b.result !== undefined))
      .map((plugin) => [`${plugin.network} ${plugin.ifname}`, plugin]),
  );
  return await Promise.all([
    ...own,
    ...[...byInterface.values()].map((plugin) => endpoint(world, fromHere(plugin, root), plugin)),
  ]);
}

function fromHere(record: BaseRecord, root: string): BaseRecord {
  const { netns } = record.container;
  if (root === "" || netns.startsWith("/proc/")) return record;
  return { ...record, container: { ...record.container, netns: root + netns } };
}

async function endpoint(
  world: World,
  record: BaseRecord,
  { network, ifname, result }: {
    readonly network: string;
    readonly ifname: string;
    readonly result?: Result | undefined;
  },
): Promise<NetworkEndpoint> {
  const address = (of: 4 | 6) => result?.ips.find(({ address }) => family(address) === of)?.address ?? "";
  const inside = result?.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined);
  return {
    ...{ network, container: record.id, ifname },
    endpointId: (await digest(record.id, network, ifname)).slice(0, 64),
    mac: inside?.mac ?? "",
    ipv4: address(4),
    ipv6: address(6),
    isRunning: !hasBootEnded(world, record) && staleness(world, record) === undefined,
  };
}
