import { findProgram, type World } from "../../plan/world.ts";
import {
  asRoot,
  type Check,
  type Finding,
  install,
  type Kind,
  kindOf,
  lack,
  ok,
  warn,
  whose,
} from "./finding.ts";

interface Program {
  readonly name: string;
  readonly needs: Kind | "both";
  /** Only some networks use it. */
  readonly optional?: boolean;
  readonly use: string;
  /** The words that make it tell its version. */
  readonly version?: string;
  /** The oldest that will do. */
  readonly least?: string;
  /** Another program that does as well. */
  readonly instead?: string;
}

const rows: readonly Program[] = [
  { name: "ip", needs: "both", version: "-V", use: "makes links, addresses and routes" },
  {
    name: "nft",
    needs: "root",
    version: "--version",
    least: "1.0",
    use: "masquerades, isolates networks and publishes ports",
  },
  { name: "nsenter", needs: "both", version: "--version", use: "enters containers" },
  { name: "unshare", needs: "both", optional: true, version: "--version", use: "lets doctor try the kernel" },
  { name: "setsid", needs: "rootless", version: "--version", use: "starts uplinks in the background" },
  {
    name: "runc",
    needs: "both",
    version: "--version",
    use: "runs containers",
    instead: "crun",
  },
  {
    name: "crun",
    needs: "both",
    optional: true,
    version: "--version",
    use: "runs containers",
    instead: "runc",
  },
  {
    name: "conntrack",
    needs: "root",
    optional: true,
    version: "--version",
    use: "makes clients of a published UDP port notice at once that its container was replaced",
  },
  {
    name: "udhcpc",
    needs: "root",
    optional: true,
    version: "--help",
    use: "gets addresses by DHCP",
    instead: "busybox",
  },
  { name: "hostname", needs: "both", optional: true, version: "--version", use: "sets --hostname" },
];

const flock: Program = {
  name: "flock",
  needs: "both",
  version: "--version",
  use: "locks files for Node, which cannot",
};

/** Whether each program is there, and new enough. */
export const programChecks: readonly Check[] = [
  ...rows.map((row) => ({ name: row.name, look: (world: World) => lookFor(world, row) })),
  { name: flock.name, look: (world) => world.runtime === "node" ? lookFor(world, flock) : [] },
  ...["newuidmap", "newgidmap"].map((name) => ({
    name,
    look: (world: World) => lookForIdMapper(world, name),
  })),
];

async function lookFor(world: World, program: Program): Promise<readonly Finding[]> {
  const { name, version, least, needs } = program;
  const path = findProgram(world, name);
  if (path === undefined) return absent(world, program);
  const found = version === undefined ? undefined : await versionOf(world, [path, version]);
  if (least !== undefined && found !== undefined && isOlder(found, least)) {
    return lack(world, needs, {
      name,
      found: `${found} (${path}) is older than ${least}`,
      remedy: `${install(world, name)}, in version ${least} or later`,
    });
  }
  return ok(name, `${found ?? "some version"} (${path})`);
}

function absent(world: World, program: Program): readonly Finding[] {
  const { name, needs, optional, use, instead } = program;
  if (instead && findProgram(world, instead)) return ok(name, `not found; ${instead} does as well`);
  const found = `not found; it ${use}`;
  const remedy = install(world, name);
  if (!optional) return lack(world, needs, { name, found, remedy });
  const matters = needs === "both" || needs === kindOf(world);
  return matters ? warn(name, found, remedy) : ok(name, `not found; only ${whose[needs]} containers use it`);
}

/** The first thing that looks like a version in what a command says, on either stream. */
export async function versionOf(world: World, argv: readonly string[]): Promise<string | undefined> {
  const { stdout, stderr } = await world.run(argv, { timeout: 5000 });
  return /[0-9]+(\.[0-9]+)+/.exec(stdout + stderr)?.[0];
}

/** Whether a version such as "1.0.6" comes before another. */
export function isOlder(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => text.split(".").map(Number));
  const at = b!.findIndex((part, i) => (a![i] ?? 0) !== part);
  return at >= 0 && (a![at] ?? 0) < b![at]!;
}

async function lookForIdMapper(world: World, name: string): Promise<readonly Finding[]> {
  const path = findProgram(world, name);
  const use = "rootless containers with more than one user need it";
  if (path === undefined) {
    return lack(world, "rootless", { name, found: `not found; ${use}`, remedy: install(world, name) });
  }
  if ((world.stat(path)!.mode & 0o4000) !== 0) return ok(name, `setuid (${path})`);
  if (await hasCapability(world, path)) return ok(name, `with file capabilities (${path})`);
  return lack(world, "rootless", {
    name,
    found: `${path} is neither setuid nor has file capabilities`,
    remedy: asRoot(world, `chmod u+s ${path}`),
  });
}

async function hasCapability(world: World, path: string): Promise<boolean> {
  if (!findProgram(world, "getcap")) return false;
  return /cap_set[ug]id/.test((await world.run(["getcap", path], { timeout: 5000 })).stdout);
}
