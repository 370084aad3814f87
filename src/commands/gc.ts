import { oneLine } from "../wire/cni/output.ts";
import type { World } from "../plan/world.ts";
import type { Collected } from "../engine/collected.ts";
import { refreshAllNames } from "../features/networks/names.ts";
import { takeOffAbandoned } from "../features/container/network_change.ts";
import { collectBegunNetworks } from "../features/networks/remove.ts";
import { collect } from "../features/container/gc.ts";
import { collectUnused } from "../features/container/unused.ts";
import { containerIds } from "../engine/record.ts";
import { releaseOutlived } from "../drivers/ipam/docker_leases.ts";
import { collectRecords } from "../features/cni_plugin/gc.ts";
import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import type { Report } from "./report.ts";

const nothing: Collected = { collected: [], problems: [] };

/** Takes away what ended containers left, and what containers shared once none is left. */
export async function gc(world: World, dryRun: boolean): Promise<Report> {
  const state = stateDirectory(world);
  const [containers, plugins] = await collectEnded(world, state);
  const changed = await takeOffAbandoned(world, state, containerIds(world, state));
  const leases = dryRun ? { released: [], problems: [] } : await releaseOutlived(world);
  const networks = dryRun ? nothing : await collectBegunNetworks(world, state);
  const [collected, problems] = [
    [
      ...containers.collected,
      ...changed.map((id) => ({ id, reason: "a change of its networks was given up half-way" })),
      ...plugins.collected,
      ...networks.collected,
      ...leases.released.map((id) => ({ id, reason: "its container was of an earlier boot" })),
    ],
    [...containers.problems, ...plugins.problems, ...networks.problems, ...leases.problems],
  ];
  if (!dryRun) await refreshAllNames(world, state);
  // After a dry run those are still there.
  const gone = dryRun ? collected.map(({ id }) => id) : [];
  return report(collected, await collectUnused(world, state, gone), problems);
}

/** Takes down ended containers, and what our plugins attached for those of CNI runtimes. */
export async function collectEnded(world: World, state: string): Promise<readonly [Collected, Collected]> {
  const containers = await collect(world, state, containerIds(world, state), "for links");
  return [containers, isRoot(world) ? await collectRecords(world, state) : nothing];
}

function report(
  containers: readonly { id: string; reason: string }[],
  shared: readonly string[],
  problems: readonly string[],
): Report {
  const text = [
    ...containers.map(({ id, reason }) => `${id}: ${reason}`),
    ...shared.map((what) => `${what}: no container is left that needs it`),
    ...problems.map(oneLine),
  ].map((line) => `${line}\n`).join("");
  return {
    json: { containers, shared, problems },
    text,
    dryText: text,
    code: problems.length > 0 ? 1 : 0,
  };
}
