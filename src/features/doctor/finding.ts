import { messageOf } from "../../wire/cni/error.ts";
import { packages, type World } from "../../plan/world.ts";
import { isRoot } from "../../engine/user.ts";

/** What was found of one thing that containers' networks need. */
export interface Finding {
  readonly name: string;
  /** `missing`: this user's containers cannot do without it. `warning`: something else, or somebody else's, cannot. */
  readonly status: "ok" | "warning" | "missing";
  readonly found: string;
  /** What to do about it, with the command to run where there is one. */
  readonly remedy?: string;
}

/** Whose containers. */
export type Kind = "root" | "rootless";

/** A look at one thing; it gives nothing where the thing does not matter. */
export interface Check {
  readonly name: string;
  look(world: World): Promise<readonly Finding[]> | readonly Finding[];
}

/** Each kind in a sentence, before "containers". */
export const whose: Readonly<Record<Kind, string>> = { root: "root's", rootless: "rootless" };

/** Whose containers the one who asks has. */
export function kindOf(world: World): Kind {
  return isRoot(world) ? "root" : "rootless";
}

/** The name of the one who asks, if they are in /etc/passwd. */
export function userName(world: World): string | undefined {
  const rows = (world.read("/etc/passwd") ?? "").split("\n").map((row) => row.split(":"));
  return rows.find((row) => row[2] === String(world.uid))?.[0];
}

/** Nothing is wrong. */
export function ok(name: string, found: string): readonly Finding[] {
  return [{ name, status: "ok", found }];
}

/** Something does not work that most do not need. */
export function warn(name: string, found: string, remedy?: string): readonly Finding[] {
  return [{ name, status: "warning", found, ...(remedy === undefined ? {} : { remedy }) }];
}

/** Containers of some kind cannot do without: missing for those who have such ones, a warning for others. */
export function lack(
  world: World,
  needs: Kind | "both",
  { name, found, remedy }: { readonly name: string; readonly found: string; readonly remedy: string },
): readonly Finding[] {
  if (needs === "both" || needs === kindOf(world)) return [{ name, status: "missing", found, remedy }];
  return [{ name, status: "warning", found: `${found}; ${whose[needs]} containers need it`, remedy }];
}

/** The result of a look that may fail: that is a finding too, and stops no other look. */
export async function findingsOf(world: World, { name, look }: Check): Promise<readonly Finding[]> {
  try {
    return await look(world);
  } catch (error) {
    return warn(name, `cannot be looked at: ${messageOf(error)}`);
  }
}

/** A command that takes root, as this user has to be told of it. */
export function asRoot(world: World, command: string): string {
  return isRoot(world) ? command : `as root: ${command}`;
}

/** What subordinate ids, and the programs that map them, are for: with its own id alone a container has one user, root. */
export const manyUsers = "rootless containers with more than one user need it";

/** The package that has a program, as Debian calls it. */
export function packageOf(program: string): string {
  return packages[program] ?? program;
}

/** How to get a program. @param options apt-get's, each with a blank after it */
export function install(world: World, program: string, options = ""): string {
  const name = packageOf(program);
  const isDebian = /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(world.read("/etc/os-release") ?? "");
  return isDebian
    ? asRoot(world, `apt-get install ${options}${name}`)
    : `install the package that has "${program}" (Debian calls it ${name})`;
}
