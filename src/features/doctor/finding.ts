import { messageOf } from "../../wire/cni/error.ts";
import { packages } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { isRoot } from "../../engine/user.ts";

/** The result of one check. */
export interface Finding {
  readonly name: string;
  /** `missing`: this user's containers need it. `warning`: only some feature or other users' containers need it. */
  readonly status: "ok" | "warning" | "missing";
  readonly found: string;
  /** What to do about it, with a command if there is one. */
  readonly remedy?: string;
}

/** The kinds of containers: root's and rootless ones. */
export type Kind = "root" | "rootless";

/** One check. It returns no findings if its subject does not matter on this machine. */
export interface Check {
  readonly name: string;
  look(world: World): Promise<readonly Finding[]> | readonly Finding[];
}

/** The words for each kind before "containers" in a sentence. */
export const whose: Readonly<Record<Kind, string>> = { root: "root's", rootless: "rootless" };

/** The kind of containers that the current user has. */
export function kindOf(world: World): Kind {
  return isRoot(world) ? "root" : "rootless";
}

/** The name of the current user, if it is in /etc/passwd. */
export function userName(world: World): string | undefined {
  const rows = (world.read("/etc/passwd") ?? "").split("\n").map((row) => row.split(":"));
  return rows.find((row) => row[2] === String(world.uid))?.[0];
}

/** A finding without a problem. */
export function ok(name: string, found: string): readonly Finding[] {
  return [{ name, status: "ok", found }];
}

/** A finding for a problem that most users do not have. */
export function warn(name: string, found: string, remedy?: string): readonly Finding[] {
  return [{ name, status: "warning", found, ...(remedy === undefined ? {} : { remedy }) }];
}

/**
 * A finding for a thing that containers of some kind need: `missing` for users with such containers, otherwise a
 * warning.
 */
export function lack(
  world: World,
  needs: Kind | "both",
  { name, found, remedy }: { readonly name: string; readonly found: string; readonly remedy: string },
): readonly Finding[] {
  if (needs === "both" || needs === kindOf(world)) return [{ name, status: "missing", found, remedy }];
  return [{ name, status: "warning", found: `${found}; ${whose[needs]} containers need it`, remedy }];
}

/** The findings of a check. If the check itself fails, that is a finding too, and the other checks continue. */
export async function findingsOf(world: World, { name, look }: Check): Promise<readonly Finding[]> {
  try {
    return await look(world);
  } catch (error) {
    return warn(name, `cannot be looked at: ${messageOf(error)}`);
  }
}

/** A command that needs root, in the form for this user. */
export function asRoot(world: World, command: string): string {
  return isRoot(world) ? command : `as root: ${command}`;
}

/**
 * The purpose of subordinate ids and the programs that map them. With only the user's own id, a container has only the
 * user root.
 */
export const manyUsers = "rootless containers with more than one user need it";

/** The Debian package of a program. */
export function packageOf(program: string): string {
  return packages[program] ?? program;
}

/** The command that installs a program. @param options apt-get's options, each followed by a blank */
export function install(world: World, program: string, options = ""): string {
  const name = packageOf(program);
  const isDebian = /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(world.read("/etc/os-release") ?? "");
  return isDebian
    ? asRoot(world, `apt-get install ${options}${name}`)
    : `install the package that has "${program}" (Debian calls it ${name})`;
}
