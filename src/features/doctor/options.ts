import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { type Check, type Finding, install, lack, ok, warn } from "./finding.ts";
import { findBest } from "./uplinks.ts";

interface Row {
  readonly name: string;
  readonly option: string;
  /** The uplink that needs the option. */
  readonly uplink?: string;
  readonly use: string;
}

const rows: readonly Row[] = [
  {
    name: "tail",
    option: "--pid",
    uplink: "slirp4netns",
    use: "tells slirp4netns that a container has ended which has no process ids of its own",
  },
  { name: "env", option: "--default-signal", use: "lets rootless crun's containers be connected" },
];

/** Checks for options that GNU's programs have and busybox's lack. */
export const optionChecks: readonly Check[] = rows.map((row) => ({
  name: row.name,
  look: (world) => lookFor(world, row),
}));

async function lookFor(world: World, { name, option, uplink, use }: Row): Promise<readonly Finding[]> {
  const path = findProgram(world, name);
  const help = path === undefined ? "" : (await world.run([path, "--help"], { timeout: 5000 })).stdout;
  if (help.includes(option)) return ok(name, `has ${option} (${path})`);
  const found = `${path === undefined ? "not found" : `${path} has no ${option}`}; it ${use}`;
  const remedy = install(world, name);
  return uplink !== undefined && uplink === await findBest(world)
    ? lack(world, "rootless", { name, found, remedy })
    : warn(name, found, remedy);
}
