import { grantsOf, parseUsernet } from "../../wire/helper/policy.ts";
import { clientProblem } from "../../plan/udhcpc.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { usernet } from "../../drivers/uplinks/lxc_user_nic.ts";
import type { GrantedBridge, Host } from "../../drivers/uplinks/uplink.ts";
import { linkExists } from "../../engine/links.ts";

/** lxc-user-nic, if it is installed, and what it may do for this user. */
export async function userNicFor(world: World): Promise<Pick<Host, "userNic">> {
  const path = findUserNic(world);
  if (path === undefined) return {};
  const problem = powerless(world, path) ?? clientProblem(world);
  if (problem !== undefined) return { userNic: { path, problem, user: "", bridges: [] } };
  const user = await nameOf(world, "passwd", String(world.uid)) ?? String(world.uid);
  return { userNic: { path, user, bridges: await grantedBridges(world, user) } };
}

/** Distributions keep it where no PATH looks: in libexec, or below the directory of an architecture's libraries. */
export function findUserNic(world: World): string | undefined {
  const architectures = world.list("/usr/lib").filter((name) => name.includes("-linux-"));
  const homes = ["libexec", "lib", "lib64", ...architectures.map((name) => `lib/${name}`)];
  const files = ["/usr", "/usr/local"].flatMap((root) =>
    homes.map((home) => `${root}/${home}/lxc/lxc-user-nic`)
  );
  return findProgram(world, "lxc-user-nic") ?? files.find((file) => world.stat(file)?.kind === "file");
}

/** In a user namespace that is not the host's links' own, root has no rights there, and setuid gives no power over them. */
function powerless(world: World, path: string): string | undefined {
  const { uid, mode } = world.stat(path)!;
  if (world.stat("/proc/sys/net/ipv4/ip_forward")?.uid !== 0) {
    return "this is another user namespace than that of the host's links, and setuid gives no power over them here; " +
      "use another uplink";
  }
  if (uid === 0 && (mode & 0o4000) !== 0) return undefined;
  return `${path} is not setuid root; have root mend it: chown root ${path} && chmod u+s ${path}`;
}

async function grantedBridges(world: World, user: string): Promise<readonly GrantedBridge[]> {
  const rules = parseUsernet(world.read(usernet) ?? "");
  const groups = rules.some(({ who }) => who.startsWith("@")) ? await groupNames(world) : [];
  const { networks } = grantsOf(rules, new Set([user, ...groups.map((name) => `@${name}`)]));
  // Its word for a link that is on no bridge.
  const names = [...networks].filter(([name, count]) => count > 0 && name !== "none").map(([name]) => name);
  if (names.length === 0) return [];
  const served = await servedLinks(world);
  return names.map((name) => ({
    name,
    there: linkExists(world, name) && world.stat(`/sys/class/net/${name}/bridge`) !== undefined,
    servesDhcp: served.has(name) || served.has("*"),
  }));
}

/** As lxc-user-nic has it: the groups that this process is in, by number in /proc/PID/status. */
async function groupNames(world: World): Promise<readonly string[]> {
  const groups = /^Groups:[ \t]*(.*)$/m.exec(world.read("/proc/self/status") ?? "")?.[1]?.trim() ?? "";
  const names = groups.split(" ").filter((gid) => gid !== "").map((gid) => nameOf(world, "group", gid));
  return (await Promise.all(names)).filter((name) => name !== undefined);
}

/** The name of a user or group; who is not in the file may still be in a directory. */
async function nameOf(world: World, database: "passwd" | "group", id: string): Promise<string | undefined> {
  const nameIn = (text: string) =>
    text.split("\n").map((row) => row.split(":")).find((row) => row[2] === id)?.[0];
  return nameIn(world.read(`/etc/${database}`) ?? "") ??
    nameIn(await printed(world, ["getent", database, id]));
}

/** The links on which a socket waits for DHCP clients; "*" for one that waits on all. */
async function servedLinks(world: World): Promise<ReadonlySet<string>> {
  // Port 67 in the hexadecimal of /proc/net/udp, which does not tell the link.
  if (!/^ *[0-9]+: [0-9A-F]+:0043 /m.test(world.read("/proc/self/net/udp") ?? "")) return new Set();
  const stdout = await printed(world, ["ss", "-Hlun", "sport = :67"]);
  const rows = Array.from(stdout.matchAll(/(\S+?)(?:%(\S+))?:67\s/g));
  return new Set(rows.flatMap(([, address, link]) => link ?? (address === "0.0.0.0" ? "*" : [])));
}

/** What a program prints; one that is not there prints nothing. */
async function printed(world: World, argv: readonly string[]): Promise<string> {
  return findProgram(world, argv[0]!) ? (await world.run(argv, { looks: true })).stdout : "";
}
