import { findProgram } from "../../plan/programs.ts";
import { endedBy, type Output, whyFailed, type World } from "../../plan/world.ts";
import {
  asRoot,
  type Check,
  type Finding,
  install,
  type Kind,
  kindOf,
  lack,
  manyUsers,
  ok,
  packageOf,
  warn,
  whose,
} from "./finding.ts";

interface Program {
  readonly name: string;
  readonly needs: Kind | "both";
  /** Only some networks use it. */
  readonly optional?: boolean;
  /** It comes with another program, and only users of that program need it. No finding asks to install it. */
  readonly unasked?: boolean;
  readonly use: string;
  /** The command-line arguments that print its version. */
  readonly version?: string;
  /** The oldest usable version, and the first Debian release with it. */
  readonly least?: { readonly version: string; readonly debian: string };
  /** Another program that can replace it. */
  readonly instead?: string;
}

const rows: readonly Program[] = [
  { name: "ip", needs: "both", version: "-V", use: "makes links, addresses and routes" },
  {
    name: "tc",
    needs: "both",
    optional: true,
    version: "-V",
    use: 'holds containers to --rate-in and --rate-out, and to what type "bandwidth" says',
  },
  {
    name: "bridge",
    needs: "root",
    optional: true,
    version: "-V",
    use: 'gives "vlan" of type "bridge" its VLANs',
  },
  {
    name: "nft",
    needs: "root",
    version: "--version",
    least: { version: "1.0", debian: "12" },
    use: "masquerades, isolates networks, publishes ports, and keeps --egress and default-restricted",
  },
  { name: "nsenter", needs: "both", version: "--version", use: "enters containers" },
  {
    name: "unshare",
    needs: "both",
    version: "--version",
    use: "makes the namespaces of ocinet run and of sessions, and those in which doctor tries the kernel",
  },
  {
    name: "setsid",
    needs: "both",
    version: "--version",
    use: "starts uplinks, DHCP clients and ocinet run's commands",
  },
  {
    name: "mount",
    needs: "rootless",
    version: "--version",
    use: "shows containers their resolv.conf and hosts",
  },
  {
    name: "setpriv",
    needs: "both",
    optional: true,
    version: "--version",
    use: "takes their power from the relay of rootless ports, and from what root's service does for a user",
  },
  {
    name: "getent",
    needs: "both",
    optional: true,
    version: "--version",
    use: "looks up the names in --egress, and the groups in the policy of root's service",
  },
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
  {
    name: "firewall-cmd",
    needs: "root",
    unasked: true,
    use: 'lets type "firewall" trust containers in firewalld, where that runs',
  },
];

const flock: Program = {
  name: "flock",
  needs: "both",
  version: "--version",
  use: "locks files for Node, which cannot",
};

/** Checks that each program is installed and recent enough. */
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
  const said = version === undefined ? undefined : await world.run([path, version], { timeout: 5000 });
  const found = said && versionIn(said);
  if (said && (said.code === notRun || endedBy(said))) return broken(world, program, path, said);
  if (least !== undefined && found !== undefined && isOlder(found, least.version)) {
    return lack(world, needs, {
      name,
      found: `${found} (${path}) is older than ${least.version}`,
      remedy: `upgrade; Debian ${least.debian} has a newer ${packageOf(name)}`,
    });
  }
  return ok(name, `${found ?? "some version"} (${path})`);
}

/** The exit status of a program with missing libraries (ld.so(8)). */
const notRun = 127;

function broken(world: World, program: Program, path: string, said: Output): readonly Finding[] {
  const { name, needs, optional, use } = program;
  const found = `${path} does not run (${whyFailed(said)}); it ${use}`;
  const remedy = install(world, name, "--reinstall ");
  return optional ? warn(name, found, remedy) : lack(world, needs, { name, found, remedy });
}

function absent(world: World, program: Program): readonly Finding[] {
  const { name, needs, optional, unasked, use, instead } = program;
  if (unasked) return ok(name, `not found; it ${use}`);
  if (instead && findProgram(world, instead)) return ok(name, `not found; ${instead} does as well`);
  const found = `not found; it ${use}`;
  const remedy = install(world, name);
  if (!optional) return lack(world, needs, { name, found, remedy });
  const matters = needs === "both" || needs === kindOf(world);
  return matters ? warn(name, found, remedy) : ok(name, `not found; only ${whose[needs]} containers use it`);
}

/** The first text that looks like a version in a command's output or errors. */
export async function versionOf(world: World, argv: readonly string[]): Promise<string | undefined> {
  return versionIn(await world.run(argv, { timeout: 5000 }));
}

function versionIn({ stdout, stderr }: Output): string | undefined {
  return /[0-9]+(\.[0-9]+)+/.exec(stdout + stderr)?.[0];
}

/** Whether a version such as "1.0.6" is older than another. */
export function isOlder(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => text.split(".").map(Number));
  const at = b!.findIndex((part, i) => (a![i] ?? 0) !== part);
  return at >= 0 && (a![at] ?? 0) < b![at]!;
}

async function lookForIdMapper(world: World, name: string): Promise<readonly Finding[]> {
  const path = findProgram(world, name);
  if (path === undefined) return warn(name, `not found; ${manyUsers}`, install(world, name));
  const { uid, mode } = world.stat(path)!;
  if (uid === 0 && (mode & 0o4000) !== 0) return ok(name, `setuid (${path})`);
  if (await hasCapability(world, path)) return ok(name, `with file capabilities (${path})`);
  return warn(
    name,
    uid === 0
      ? `${path} is neither setuid nor has file capabilities; ${manyUsers}`
      : `${path} is of user ${uid}, not of root; ${manyUsers}`,
    asRoot(world, uid === 0 ? `chmod u+s ${path}` : `chown root:root ${path} && chmod u+s ${path}`),
  );
}

async function hasCapability(world: World, path: string): Promise<boolean> {
  if (!findProgram(world, "getcap")) return false;
  return /cap_set[ug]id/.test((await world.run(["getcap", path], { timeout: 5000 })).stdout);
}
