import { findProgram, type World } from "../../plan/world.ts";
import { uplinks } from "../../uplinks/table.ts";
import type { Uplink } from "../../uplinks/uplink.ts";
import { hostOf, pastaVersion, problemOf } from "../uplink.ts";
import { type Check, type Finding, install, lack, ok, warn } from "./finding.ts";
import { versionOf } from "./programs.ts";

/** Each way to the world for rootless containers, and which of them is taken. */
export const uplinkChecks: readonly Check[] = [
  ...uplinks.map((uplink) => ({ name: uplink.name, look: (world: World) => lookAt(world, uplink) })),
  { name: "uplink", look: lookForBest },
];

interface Look {
  readonly uplink: Uplink;
  readonly path: string | undefined;
  readonly version: string | undefined;
  readonly problem: string | undefined;
}

async function examine(world: World, uplink: Uplink): Promise<Look> {
  const path = findProgram(world, uplink.name);
  if (path === undefined) return { uplink, path, version: undefined, problem: "not found" };
  const version = uplink.oldest
    ? await pastaVersion(world, path)
    : await versionOf(world, [path, "--version"]);
  return { uplink, path, version, problem: problemOf(hostOf(world), uplink, path, version) };
}

async function findBest(world: World): Promise<string | undefined> {
  const looks = await Promise.all(uplinks.map((uplink) => examine(world, uplink)));
  return looks.find(({ problem }) => problem === undefined)?.uplink.name;
}

async function lookAt(world: World, uplink: Uplink): Promise<readonly Finding[]> {
  const { name, oldest } = uplink;
  const { path, version, problem } = await examine(world, uplink);
  if (problem === undefined) {
    return ok(name, `${version ?? "some version"}${oldest ? " or later" : ""} (${path})`);
  }
  const best = await findBest(world);
  if (path === undefined) return ok(name, best ? `not found; ${best} does as well` : "not found");
  const tooOld = oldest !== undefined && (version === undefined || version < oldest.version);
  const remedy = tooOld ? `${install(world, name)}, in version ${oldest.version} or later` : "give it one";
  return warn(name, problem, best ? `nothing, as ${best} is used; or ${remedy}` : remedy);
}

async function lookForBest(world: World): Promise<readonly Finding[]> {
  const best = await findBest(world);
  if (best !== undefined) return ok("uplink", best);
  const found = "none works; it connects rootless containers";
  const remedy = install(world, uplinks.at(-1)!.name);
  return lack(world, "rootless", { name: "uplink", found, remedy });
}
