import { isRoot } from "../../engine/user.ts";
import type { World } from "../../plan/world.ts";
import { clusterStatus } from "../overlay/cluster.ts";
import { clusterFile } from "../overlay/cluster_config.ts";
import { type Check, type Finding, ok, warn } from "./finding.ts";

/** Whether overlay networks can be used on this host: its agent, etcd, rights there, clocks, and the ways to other hosts. */
export const clusterChecks: readonly Check[] = [{ name: "cluster", look: lookAtCluster }];

async function lookAtCluster(world: World): Promise<readonly Finding[]> {
  if (!isRoot(world) || world.stat(clusterFile(world)) === undefined) return [];
  const { hosts, networks, problems } = await clusterStatus(world);
  if (problems.length === 0) return ok("cluster", `${hosts.length} hosts, ${networks.length} networks`);
  return problems.flatMap((problem) => {
    const at = problem.lastIndexOf("; ");
    return at < 0 ? warn("cluster", problem) : warn("cluster", problem.slice(0, at), problem.slice(at + 2));
  });
}
