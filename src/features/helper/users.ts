import { type Grants, grantsOf, parsePolicy, type Rule } from "../../wire/helper/policy.ts";
import type { World } from "../../plan/world.ts";

/** A user whom the policy names, with all names that apply to the user. */
export interface HelperUser {
  readonly uid: number;
  readonly gid: number;
  readonly names: ReadonlySet<string>;
}

/** A policy, with its users looked up. */
export interface Granted {
  /** The policy's text at the time it was read. */
  readonly text: string;
  readonly rules: readonly Rule[];
  readonly users: ReadonlyMap<number, HelperUser>;
  /** Names in the policy that no user and no group has. */
  readonly unknown: readonly string[];
}

/** What a user is granted. */
export function grantsFor({ rules, users }: Granted, uid: number): Grants {
  return grantsOf(rules, users.get(uid)?.names ?? new Set());
}

/** Reads the text of a policy. @throws Error if there is none, or if another user than root could have written it */
export function readPolicy(world: World, path: string): string {
  const stat = world.stat(path);
  if (stat === undefined) {
    throw new Error(
      `Cannot read policy ${path}: there is none; a line such as "alice veth ocinet0 10" begins one`,
    );
  }
  if (stat.uid !== 0 || (stat.mode & 0o022) !== 0) {
    throw new Error(
      `Cannot use policy ${path}: others than root may write it; chown root ${path} && chmod 644 ${path}`,
    );
  }
  return world.read(path) ?? "";
}

/** Reads a policy and looks its names up. @throws Error for one that cannot be used */
export async function grantedBy(world: World, path: string, text: string): Promise<Granted> {
  const rules = parsePolicy(text, path);
  const users = new Map<number, HelperUser>();
  const unknown: string[] = [];
  for (const who of new Set(rules.map(({ who }) => who))) {
    const found = who.startsWith("@") ? await membersOf(world, who.slice(1)) : await lookUp(world, who);
    if (found.length === 0) unknown.push(who);
    for (const { uid, gid, name } of found) {
      // Root has power over all networks anyway, and ids of root's let the kernel judge nothing.
      if (uid === 0) continue;
      const names = users.get(uid)?.names ?? new Set([name, String(uid)]);
      users.set(uid, { uid, gid, names: new Set([...names, who]) });
    }
  }
  return { text, rules, users, unknown };
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

async function lookUp(world: World, ...names: readonly string[]): Promise<readonly Account[]> {
  return names.length === 0 ? [] : accounts(await getent(world, "passwd", ...names));
}

function accounts(rows: readonly (readonly string[])[]): readonly Account[] {
  return rows.map(([name, , uid, gid]) => ({ name: name!, uid: Number(uid), gid: Number(gid) }));
}

/** The members of a group: those it lists, and those whose primary group it is. */
async function membersOf(world: World, group: string): Promise<readonly Account[]> {
  const [row] = await getent(world, "group", group);
  if (!row) return [];
  const listed = await lookUp(world, ...(row[3] ?? "").split(",").filter((name) => name !== ""));
  const first = accounts(await getent(world, "passwd")).filter(({ gid }) => gid === Number(row[2]));
  return [...listed, ...first];
}

async function getent(world: World, ...words: readonly string[]): Promise<readonly (readonly string[])[]> {
  const { stdout } = await world.run(["getent", "--", ...words], { looks: true });
  return stdout.split("\n").filter((row) => row !== "").map((row) => row.split(":"));
}
