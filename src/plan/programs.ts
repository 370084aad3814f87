/** Where programs are found, and which package has them. */

import type { Surroundings } from "./world.ts";

/** The directories where programs are looked for after PATH: a hook may have none, and Deno then makes one up. */
export const programDirectories = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
] as const;

/** The absolute path of a program, or undefined. */
export function findProgram(world: Surroundings, name: string): string | undefined {
  return searchPath(world).map((dir) => `${dir}/${name}`).find((file) => isProgram(world, file));
}

/** The directories where programs are looked for, for us and for what we run. */
export function searchPath(world: Surroundings): readonly string[] {
  const path = world.env("PATH")?.split(":").filter((dir) => dir.startsWith("/")) ?? [];
  return [...new Set([...path, ...programDirectories])];
}

/** A directory that may not be read, as after `su`, has no program for us. */
function isProgram(world: Surroundings, file: string): boolean {
  try {
    const stat = world.stat(file);
    return stat?.kind === "file" && (stat.mode & 0o111) !== 0;
  } catch {
    return false;
  }
}

/** Programs we run, and the Debian package each is in. */
export const packages: Readonly<Record<string, string>> = {
  ip: "iproute2",
  tc: "iproute2",
  bridge: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  unshare: "util-linux",
  flock: "util-linux",
  setsid: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
  getent: "libc-bin",
  tail: "coreutils",
  env: "coreutils",
  mkfifo: "coreutils",
  hostname: "hostname",
  slirp4netns: "slirp4netns",
  pasta: "passt",
  "lxc-user-nic": "liblxc-common",
  newuidmap: "uidmap",
  newgidmap: "uidmap",
  conntrack: "conntrack",
  udhcpc: "udhcpc",
  runc: "runc",
  crun: "crun",
  iptables: "iptables",
  ip6tables: "iptables",
  "firewall-cmd": "firewalld",
};

/** Like `findProgram`. @throws Error naming the program and the package that has it. */
export function needProgram(world: Surroundings, name: string): string {
  if (name.startsWith("/")) return name;
  const found = findProgram(world, name);
  if (found) return found;
  const from = packages[name];
  throw new Error(`Cannot run "${name}": it is not on PATH; ${from ? `install ${from}` : "install it"}`);
}

/** Words before a program's that leave it only these capabilities, each after a comma: ",+net_admin". */
export function withCapabilities(kept: string): readonly string[] {
  return ["setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=-all${kept}`];
}
