import type { World } from "../../plan/world.ts";
import { clusterChecks } from "./cluster.ts";
import { fileChecks } from "./files.ts";
import { type Check, type Finding, findingsOf, lack, ok } from "./finding.ts";
import { forwardingChecks } from "./forwarding.ts";
import { historyChecks } from "./history.ts";
import { kernelChecks } from "./kernel.ts";
import { optionChecks } from "./options.ts";
import { isOlder, programChecks, versionOf } from "./programs.ts";
import { resolverChecks } from "./resolver.ts";
import { subnetChecks } from "./subnets.ts";
import { sysctlChecks } from "./sysctls.ts";
import { systemdChecks } from "./systemd.ts";
import { uplinkChecks } from "./uplinks.ts";

export type { Finding } from "./finding.ts";

const runtimeCheck: Check = { name: "runtime", look: lookAtRuntime };

const checks: readonly Check[] = [
  runtimeCheck,
  ...programChecks,
  ...optionChecks,
  ...uplinkChecks,
  ...kernelChecks,
  ...sysctlChecks,
  ...fileChecks,
  ...systemdChecks,
  ...forwardingChecks,
  ...resolverChecks,
  ...clusterChecks,
  ...subnetChecks,
  ...historyChecks,
];

/** Checks everything on this machine that a container's network may need. It changes nothing. */
export async function examine(world: World): Promise<readonly Finding[]> {
  return (await Promise.all(checks.map((check) => findingsOf(world, check)))).flat();
}

const runtimes = {
  deno: { name: "Deno", least: "2.0" },
  node: { name: "Node", least: "20.16" },
} as const;

async function lookAtRuntime(world: World): Promise<readonly Finding[]> {
  const { name, least } = runtimes[world.runtime];
  const path = world.runtimePath;
  const version = await versionOf(world, [path, "--version"]);
  if (version === undefined || !isOlder(version, least)) {
    return ok("runtime", `${name} ${version ?? "of unknown version"} (${path})`);
  }
  return lack(world, "both", {
    name: "runtime",
    found: `${name} ${version} (${path}) is older than ${least}`,
    remedy: "install Deno 2 or later, or Node 20.16 or later",
  });
}
