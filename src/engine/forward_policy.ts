import { adminComment } from "../plan/iptables.ts";
import { passMark } from "../plan/nft/chains.ts";
import { findProgram } from "../plan/programs.ts";
import type { World } from "../plan/world.ts";

/** The iptables programs, with the names of their families for nft and for the kernel's legacy tables. */
export const forwardPrograms = [
  { program: "iptables", family: "ip", tables: "/proc/self/net/ip_tables_names" },
  { program: "ip6tables", family: "ip6", tables: "/proc/self/net/ip6_tables_names" },
] as const;

/** What the host forwards for containers passes FORWARD, and what they ask a resolver of ours passes INPUT. */
export type PassedChain = "FORWARD" | "INPUT";

/** A chain that applies in addition to our table: one in nft, which current iptables uses, or a legacy one. */
export interface FilterChain {
  /** The iptables program for it, which may not be installed. */
  readonly command: string;
  /** Its policy is DROP. */
  readonly drops: boolean;
  /** Its last rule accepts nothing more, whatever its policy. */
  readonly rejects: boolean;
  /** How often it has the rule that accepts packets marked by our chains. */
  readonly passes: number;
}

/** The chains of one family. A kernel may have both kinds, and then a packet has to pass both. */
export async function filterChains(
  world: World,
  prefix: readonly string[],
  { program, family, tables }: typeof forwardPrograms[number],
  name: PassedChain,
): Promise<readonly FilterChain[]> {
  const look = async (...argv: readonly string[]) =>
    (await world.run([...prefix, ...argv], { looks: true, timeout: 5000 })).stdout;
  const chain = await look("nft", "list", "chain", family, "filter", name);
  const found = chain === "" ? [] : [chainOf(program, chain)];
  // If only one iptables is installed, it handles only one kind of tables.
  const legacy = [`${program}-legacy`, ...chain === "" ? [program] : []].find((name) =>
    findProgram(world, name)
  );
  // Listing a legacy table would create it, so it is listed only if it exists.
  const there = legacy !== undefined && (await look("cat", tables)).split("\n").includes("filter");
  return there ? [...found, chainOf(legacy, await look(legacy, "--wait", "-S", name))] : found;
}

function chainOf(command: string, text: string): FilterChain {
  return {
    command,
    drops: /policy drop|^-P \S+ DROP/m.test(text),
    rejects: endsInReject(text),
    passes: text.split("\n").filter((row) => row.includes(passMark)).length,
  };
}

/** Whether the last rule in a chain's listing by nft or iptables rejects or drops all packets. */
export function endsInReject(text: string): boolean {
  const last = text.split("\n").map((row) => row.trim())
    .filter((row) => row !== "" && row !== "}" && !/^(table|chain|type|#|-P) ?/.test(row)).at(-1) ?? "";
  return /^(-A \S+ -j (REJECT|DROP)\b|(counter( packets \d+ bytes \d+)? )?(reject|drop)\b)/.test(last);
}

/**
 * Whether such a chain exists, as far as this can be found out without a process of its own.
 * @param chains the output of `nft list chains` for both families
 */
export function hasFilterChain(world: World, chains: string): boolean {
  if (/^table ip6? filter \{(\n\t.*)*\n\tchain (FORWARD|INPUT) \{/m.test(chains)) return true;
  return forwardPrograms.some(({ tables }) => readLines(world, tables).includes("filter"));
}

/** The kernel's lists of legacy tables are readable only for root of the initial user namespace. */
function readLines(world: World, path: string): readonly string[] {
  try {
    return world.read(path)?.split("\n") ?? [];
  } catch {
    return [];
  }
}

const rule = ["-m", "mark", "--mark", `${passMark}/${passMark}`, "-j", "ACCEPT"];

/**
 * Adds a rule to iptables' chains that accepts packets marked by our chains. Accepting them in our own table is not enough
 * if a policy is DROP (Docker and ufw set that), because every table can drop. The rule is added to every such chain,
 * whatever its current policy, and again if it was removed.
 * @returns the programs that added it, with the chain, e.g. "iptables FORWARD"
 */
export async function passPolicies(
  world: World,
  prefix: readonly string[],
  names: readonly PassedChain[],
): Promise<readonly string[]> {
  const put: string[] = [];
  await eachChain(world, prefix, names, async ({ command, passes }, name) => {
    if (passes > 0) return;
    await insertRule(world, prefix, command, name);
    put.push(`${command} ${name}`);
  });
  return put;
}

async function eachChain(
  world: World,
  prefix: readonly string[],
  names: readonly PassedChain[],
  see: (chain: FilterChain, name: PassedChain) => Promise<void> | void,
): Promise<void> {
  for (const name of names) {
    for (const kind of forwardPrograms) {
      for (const chain of await filterChains(world, prefix, kind, name)) {
        if (findProgram(world, chain.command)) await see(chain, name);
      }
    }
  }
}

/** Inserts the rule after the call of an administrator's chain, which keeps precedence. */
async function insertRule(
  world: World,
  prefix: readonly string[],
  command: string,
  name: PassedChain,
): Promise<void> {
  const { stdout } = await world.run([...prefix, command, "--wait", "-S", name], { looks: true });
  const rules = stdout.split("\n").filter((row) => row.startsWith(`-A ${name} `));
  const admin = rules.findLastIndex((row) => row.includes(adminComment));
  await world.run([...prefix, command, "--wait", "-I", name, String(admin + 2), ...rule]);
}

/** A rule of ours in a chain of iptables. */
export interface PassRule {
  readonly command: string;
  readonly name: PassedChain;
}

/** Our rules, one entry for each occurrence. Two processes at once may both have added one. */
export async function findPassRules(world: World): Promise<readonly PassRule[]> {
  const found: PassRule[] = [];
  await eachChain(world, [], ["FORWARD", "INPUT"], ({ command, passes }, name) => {
    found.push(...Array.from({ length: passes }, () => ({ command, name })));
  });
  return found;
}

/** Removes one occurrence of the rule. */
export async function removePassRule(world: World, { command, name }: PassRule): Promise<void> {
  await world.run([command, "--wait", "-D", name, ...rule]);
}
