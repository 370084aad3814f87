import { messageOf } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import { oldestVersion } from "../../wire/cni/result.ts";
import type { World } from "../../plan/world.ts";
import { reasonToGo } from "../../engine/namespace.ts";
import type { Collected } from "../../engine/collected.ts";
import { contextOf, externalPart } from "./call.ts";
import { del } from "./del.ts";
import {
  allPluginKeys,
  type PluginRecord,
  readPlugin,
  readUndamaged,
  type RecordKey,
} from "../../engine/record.ts";
import { livingNamespaces } from "../../engine/process.ts";

/**
 * Removes attachments made by our plugins whose containers are gone. CNI before 1.1.0 has no GC, and not every runtime
 * calls DEL later. Attachments with an IPAM plugin that is not ours are left to the runtime, which knows where that
 * plugin is.
 */
export async function collectRecords(world: World, state: string): Promise<Collected> {
  const [collected, problems]: [Collected["collected"][number][], string[]] = [[], []];
  const records = allPluginKeys(world, state).filter((key) => !isContainers(world, state, key))
    .flatMap((key) => readPlugin(world, state, key) ?? []);
  const living = records.length > 0 ? livingNamespaces(world) : new Set<string>();
  for (const record of records) {
    const reason = reasonToGo(world, record, living);
    if (reason === undefined) continue;
    try {
      if (!await takeDown(world, state, record)) continue;
      const { id, part, ifname, network } = record;
      collected.push({ id, reason: `${part}'s "${ifname}" on network "${network}": ${reason}` });
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return { collected, problems };
}

/** Whether the attachment is named in a container's own record. Then it is removed with that record. */
function isContainers(world: World, state: string, { id, network, ifname }: RecordKey): boolean {
  return readUndamaged(world, state, id)?.attachments.some((one) =>
    one.network.name === network && one.ifname === ifname
  ) === true;
}

/** @returns whether the attachment was ours to remove */
async function takeDown(world: World, state: string, record: PluginRecord): Promise<boolean> {
  const { part: type, network, id: containerId, ifname, request } = record;
  const common = { command: "DEL", containerId, ifname, netns: "" } as const;
  const environment = { ...common, args: "", path: [], netnsOverride: false };
  const version = fields(request).string("cniVersion") ?? oldestVersion;
  const call = { type, command: common.command, environment, request, network, version };
  const context = await contextOf(world, state, call);
  if (externalPart(context) !== undefined) return false;
  await del(context);
  return true;
}
