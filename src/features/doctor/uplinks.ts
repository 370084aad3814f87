import { messageOf } from "../../wire/cni/error.ts";
import { parsePolicy, parseUsernet, showRange } from "../../wire/helper/policy.ts";
import { helperDirectory, helperPolicy } from "../../wire/helper/wire.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { helper } from "../../drivers/uplinks/helper.ts";
import { lxcUserNic, usernet } from "../../drivers/uplinks/lxc_user_nic.ts";
import { parseOptions } from "../../drivers/uplinks/options.ts";
import { uplinks } from "../../drivers/uplinks/table.ts";
import type { Uplink } from "../../drivers/uplinks/uplink.ts";
import { readPolicy } from "../helper/users.ts";
import { granting, hostOf, pastaVersion, problemOf, serviceFor } from "../rootless/uplink.ts";
import { findUserNic } from "../rootless/user_nic.ts";
import { asRoot, type Check, type Finding, install, lack, ok, packageOf, warn } from "./finding.ts";
import { versionOf } from "./programs.ts";

/** Checks each uplink for rootless containers, and reports which one is used. */
export const uplinkChecks: readonly Check[] = [
  ...uplinks.map((uplink) => ({
    name: uplink.name,
    look: (world: World) => (lookOf[uplink.name] ?? lookAt)(world, uplink),
  })),
  { name: "uplink", look: lookForBest },
  { name: "default route", look: lookForRoute },
];

/** The checks of uplinks that root provides. */
const lookOf: Readonly<Record<string, (world: World, uplink: Uplink) => Promise<readonly Finding[]>>> = {
  [helper.name]: lookAtService,
  [lxcUserNic.name]: lookAtUserNic,
};

interface Look {
  readonly uplink: Uplink;
  readonly path: string | undefined;
  readonly version: string | undefined;
  readonly problem: string | undefined;
  readonly losesNames: string | undefined;
}

async function examine(world: World, uplink: Uplink): Promise<Look> {
  const host = await granting(world);
  const losesNames = uplink.losesNames?.(host);
  if (uplink.provided) {
    const problem = uplink.problem(host, false, parseOptions("", uplink.keys)) ?? uplink.doubt?.(host);
    return { ...{ uplink, path: undefined, version: undefined }, problem, losesNames };
  }
  const path = findProgram(world, uplink.name);
  if (path === undefined) return { uplink, path, version: undefined, problem: "not found", losesNames };
  const version = uplink.oldest
    ? await pastaVersion(world, path)
    : await versionOf(world, [path, "--version"]);
  return { uplink, path, version, problem: problemOf(host, uplink, path, version), losesNames };
}

/** The name of the uplink that is used by default. */
export async function findBest(world: World): Promise<string | undefined> {
  return (await lookForUplink(world))?.uplink.name;
}

/** The reason why DNS does not work with that uplink; undefined if it does, or if there is no uplink. */
export async function whyNamesAreLost(world: World): Promise<string | undefined> {
  const look = await lookForUplink(world);
  return look?.losesNames === undefined ? undefined : `${look.uplink.name}: ${look.losesNames}`;
}

/** Prefers an uplink with which DNS works. */
async function lookForUplink(world: World): Promise<Look | undefined> {
  const looks = await Promise.all(uplinks.map((uplink) => examine(world, uplink)));
  const working = looks.filter(({ problem }) => problem === undefined);
  return working.find(({ losesNames }) => losesNames === undefined) ?? working[0];
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
  const remedy = tooOld ? `upgrade; Debian 13 has a newer ${packageOf(name)}` : addRoute(world);
  return warn(name, problem, best ? `none is needed, as ${best} is used; or ${remedy}` : remedy);
}

function addRoute(world: World): string {
  return asRoot(world, "ip route add default via ROUTER, with the address of this network's router");
}

/** Whether the host has a default route. */
function lookForRoute(world: World): readonly Finding[] {
  const { routes } = hostOf(world);
  const name = "default route";
  if (routes[4]) return ok(name, routes[6] ? "for IPv4 and IPv6" : "for IPv4");
  if (routes[6]) return ok(name, "for IPv6 only");
  return warn(
    name,
    "none; containers reach no further than the networks this machine is on",
    addRoute(world),
  );
}

/** Checks root's service. Root sees whether it runs, other users see what it grants them. */
async function lookAtService(world: World, uplink: Uplink): Promise<readonly Finding[]> {
  const { name } = uplink;
  if (world.uid === 0) return lookAtOwnService(world, name);
  const { service } = await serviceFor(world);
  if (service === undefined) return ok(name, "it has no socket for you, and is not needed");
  const { socket, offer } = service;
  if (typeof offer === "string") {
    return warn(
      name,
      `it does not answer on ${socket}: ${offer}`,
      asRoot(world, "systemctl start ocinet-helper"),
    );
  }
  const networks = offer.networks.map(({ name, free }) => `${free} more on "${name}"`).join(", ");
  const ports = offer.ports.map(showRange).join(", ");
  const found = `containers: ${networks || "none"}; ports: ${ports || "none"} (${socket})`;
  if (offer.networks.some(({ free }) => free > 0)) return ok(name, found);
  const remedy = `end a container (ocinet ls); or as root: raise the number in ${helperPolicy}, then ` +
    "systemctl reload ocinet-helper";
  return warn(name, found, remedy);
}

function lookAtOwnService(world: World, name: string): readonly Finding[] {
  if (world.stat(helperPolicy) === undefined) {
    return ok(name, `no policy ${helperPolicy}, and so no users to serve`);
  }
  try {
    parsePolicy(readPolicy(world, helperPolicy), helperPolicy);
  } catch (error) {
    return warn(name, messageOf(error), `edit ${helperPolicy}; the service serves no user until then`);
  }
  const users = world.list(helperDirectory).filter((file) => /^[0-9]+$/.test(file));
  return users.length > 0 ? ok(name, `listens for users ${users.join(", ")}`) : warn(
    name,
    `there is ${helperPolicy}, and no service that listens`,
    "systemctl start ocinet-helper, or ocinet helper",
  );
}

/** Checks lxc-user-nic. Root sees which users it serves, others see what it grants them. */
async function lookAtUserNic(
  world: World,
  { name, keys, problem, doubt }: Uplink,
): Promise<readonly Finding[]> {
  const path = findUserNic(world);
  if (path === undefined) return ok(name, "not found, and not needed");
  if (world.uid === 0) return ok(name, `${path}; ${usernet} grants ${showUsernet(world)}`);
  const host = await granting(world);
  const { bridges } = host.userNic!;
  const found = problem(host, false, parseOptions("", keys));
  if (found !== undefined) {
    if (bridges.length === 0) return ok(name, found);
    const [reason, remedy] = found.split("; ");
    return warn(name, reason!, remedy);
  }
  const shown = bridges.filter(({ there }) => there).map((bridge) =>
    `"${bridge.name}"${bridge.servesDhcp ? " with DHCP" : ""}`
  );
  return ok(name, [`bridges: ${shown.join(", ")} (${path})`, doubt!(host) ?? []].flat().join("; "));
}

function showUsernet(world: World): string {
  const rows = parseUsernet(world.read(usernet) ?? "").filter((rule) => rule.kind === "veth");
  return rows.map(({ who, network, count }) => `${who} ${count} on "${network}"`).join(", ") ||
    "no user anything";
}

async function lookForBest(world: World): Promise<readonly Finding[]> {
  const best = await findBest(world);
  if (best !== undefined) return ok("uplink", best);
  const found = "none works; it connects rootless containers";
  const remedy = install(world, uplinks.at(-1)!.name);
  return lack(world, "rootless", { name: "uplink", found, remedy });
}
