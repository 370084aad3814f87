/** Members of services that get no new connections: neither ports nor the service's name lead to them. */
import { reconcile } from "../../engine/reconcile.ts";
import { prefixesOf, staleness } from "../../engine/namespace.ts";
import { containerIds, type ContainerRecord, readUndamaged } from "../../engine/record.ts";
import type { World } from "../../plan/world.ts";
import { refreshNames } from "../networks/names.ts";
import { membership } from "../networks/services.ts";
import { changeContainer } from "./port_change.ts";

/** A member of a service. */
export interface Drained {
  readonly id: string;
  readonly network: string;
  readonly service: string;
}

/** The containers of this host that are members of services, on one network or any. */
export function memberIds(world: World, state: string, network: string | undefined): readonly string[] {
  return containerIds(world, state).filter((id) => {
    const record = readUndamaged(world, state, id);
    return record && staleness(world, record) === undefined && membersOf(record, network).length > 0;
  });
}

function membersOf(record: ContainerRecord, network: string | undefined) {
  return record.attachments.filter(({ network: { name } }) => name === (network ?? name)).flatMap((one) => {
    const of = membership(record, one);
    return of ? [{ ...of, network: one.network.name }] : [];
  });
}

/**
 * Drains a container, or has it back. What is so already stays.
 * @param network the only one, if not all of them
 * @returns of what it is a member there
 * @throws Error if it is not attached, or a member of nothing there
 */
export async function drain(
  world: World,
  state: string,
  id: string,
  { network, isDrained }: { readonly network: string | undefined; readonly isDrained: boolean },
): Promise<readonly Drained[]> {
  return await changeContainer(world, state, id, "services", async (record) => {
    const found = membersOf(record, network);
    if (found.length === 0) {
      const where = network === undefined ? "" : ` on network "${network}"`;
      throw new Error(
        `Cannot change the services of container "${id}": it is no member of one${where}; a member is started with --service`,
      );
    }
    const changed = found.filter((one) => one.isDrained !== isDrained).map(({ drain }) => drain);
    const texts = changed.map((step) => JSON.stringify(step));
    const kept = record.steps.filter((step) => !texts.includes(JSON.stringify(step)));
    const to = { ...record, steps: isDrained ? [...kept, ...changed] : kept };
    await reconcile({ world, state }, [{ from: record, to }], prefixesOf(record.container));
    await refreshNames(world, state, found.map(({ network }) => network));
    return found.map(({ service, network }) => ({ id, network, service }));
  });
}
