import { messageOf } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import { oldestVersion } from "../../wire/cni/result.ts";
import type { World } from "../../plan/world.ts";
import { isThere, ownNamespace } from "../../engine/namespace.ts";
import type { Collected } from "../../engine/collected.ts";
import type { Container } from "../../engine/journal.ts";
import { contextOf, externalPart } from "./call.ts";
import { del } from "./del.ts";
import { allKeys, type PluginRecord, readRecord } from "../../engine/plugin_record.ts";
import { bootId, livingNamespaces } from "../../engine/process.ts";

/**
 * Takes down what plugins of ours were called to put up for containers that are gone: CNI before 1.1.0 has no GC, and
 * not every runtime comes back with DEL. What another's IPAM has a part in is left to whoever knows where that is.
 */
export async function collectRecords(world: World, state: string): Promise<Collected> {
  const [collected, problems]: [Collected["collected"][number][], string[]] = [[], []];
  const records = allKeys(world, state).flatMap((key) => readRecord(world, state, key) ?? []);
  const living = records.length > 0 ? livingNamespaces(world) : new Set<string>();
  for (const record of records) {
    const reason = reasonToGo(world, record, living);
    if (reason === undefined) continue;
    try {
      if (!await takeDown(world, state, record)) continue;
      const { containerId: id, type, ifname, network } = record;
      collected.push({ id, reason: `${type}'s "${ifname}" on network "${network}": ${reason}` });
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return { collected, problems };
}

function reasonToGo(
  world: World,
  { bootId: boot, host, container }: PluginRecord,
  living: ReadonlySet<string>,
): string | undefined {
  if (boot !== bootId(world)) return "the machine has been restarted since";
  if (host !== ownNamespace(world) || isAnywhere(world, container, living)) return undefined;
  return `its namespace ${container.netns} is gone`;
}

/** It may go by another path by now. */
function isAnywhere(world: World, container: Container, living: ReadonlySet<string>): boolean {
  return isThere(world, container) || living.has(`net:[${container.identity.split(":")[1]}]`);
}

/** @returns whether it was ours to take down */
async function takeDown(world: World, state: string, record: PluginRecord): Promise<boolean> {
  const { type, network, containerId, ifname, request } = record;
  const common = { command: "DEL", containerId, ifname, netns: "" } as const;
  const environment = { ...common, args: "", path: [], netnsOverride: false };
  const version = fields(request).string("cniVersion") ?? oldestVersion;
  const call = { type, command: common.command, environment, request, network, version };
  const context = await contextOf(world, state, call);
  if (externalPart(context) !== undefined) return false;
  await del(context);
  return true;
}
