import { adminComment } from "../plan/iptables.ts";
import { passMark } from "../plan/nft/chains.ts";
import { findProgram } from "../plan/programs.ts";
import type { World } from "../plan/world.ts";

/** The iptables programs, with the names of their families for nft and for the kernel's legacy tables. */
export const forwardPrograms = [
  { program: "iptables", family: "ip", tables: "/proc/self/net/ip_tables_names" },
  { program: "ip6tables", family: "ip6", tables: "/proc/self/net/ip6_tables_names" },
] as const;

/** A FORWARD chain that applies in addition to our table: one in nft, which current iptables uses, or a legacy one. */
export interface ForwardChain {
  /** The iptables program for it, which may not be installed. */
  readonly command: string;
  /** Its policy is DROP. */
  readonly drops: boolean;
  /** Its last rule accepts nothing more, whatever its policy. */
  readonly rejects: boolean;
  /** How often it has the rule that accepts packets marked by our forward chain. */
  readonly passes: number;
}

/** The FORWARD chains of one family. A kernel may have both kinds, and then a packet has to pass both. */
export async function forwardChains(
  world: World,
  prefix: readonly string[],
  { program, family, tables }: typeof forwardPrograms[number],
): Promise<readonly ForwardChain[]> {
  const look = async (...argv: readonly string[]) =>
    (await world.run([...prefix, ...argv], { looks: true, timeout: 5000 })).stdout;
  const chain = await look("nft", "list", "chain", family, "filter", "FORWARD");
  const found = chain === "" ? [] : [chainOf(program, chain)];
  // If only one iptables is installed, it handles only one kind of tables.
  const legacy = [`${program}-legacy`, ...chain === "" ? [program] : []].find((name) =>
    findProgram(world, name)
  );
  // Listing a legacy table would create it, so it is listed only if it exists.
  const there = legacy !== undefined && (await look("cat", tables)).split("\n").includes("filter");
  return there ? [...found, chainOf(legacy, await look(legacy, "--wait", "-S", "FORWARD"))] : found;
}

function chainOf(command: string, text: string): ForwardChain {
  return {
    command,
    drops: /policy drop|^-P FORWARD DROP/m.test(text),
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
 * Whether a FORWARD chain exists, as far as this can be found out without a process of its own.
 * @param chains the output of `nft list chains` for both families
 */
export function hasForwardChain(world: World, chains: string): boolean {
  if (/^table ip6? filter \{(\n\t.*)*\n\tchain FORWARD \{/m.test(chains)) return true;
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

const rule = ["FORWARD", "-m", "mark", "--mark", `${passMark}/${passMark}`, "-j", "ACCEPT"];

/**
 * Adds a rule to iptables' FORWARD chain that accepts packets marked by our forward chain. Accepting them in our own
 * table is not enough if the policy of FORWARD is DROP (Docker sets that), because every table can drop. The rule is
 * added to every such chain, whatever its current policy, and again if it was removed.
 * @returns the programs that added it
 */
export async function passForwardPolicy(
  world: World,
  prefix: readonly string[],
): Promise<readonly string[]> {
  const put: string[] = [];
  for (const kind of forwardPrograms) {
    for (const { command, passes } of await forwardChains(world, prefix, kind)) {
      if (passes > 0 || !findProgram(world, command)) continue;
      await insertRule(world, prefix, command);
      put.push(command);
    }
  }
  return put;
}

/** Inserts the rule after the call of an administrator's chain, which keeps precedence. */
async function insertRule(world: World, prefix: readonly string[], command: string): Promise<void> {
  const { stdout } = await world.run([...prefix, command, "--wait", "-S", "FORWARD"], { looks: true });
  const rules = stdout.split("\n").filter((row) => row.startsWith("-A FORWARD "));
  const admin = rules.findLastIndex((row) => row.includes(adminComment));
  const [chain, ...match] = rule;
  await world.run([...prefix, command, "--wait", "-I", chain!, String(admin + 2), ...match]);
}

/** The programs that have the rule, one entry for each occurrence. Two processes at once may both have added it. */
export async function findPassRules(world: World, prefix: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const kind of forwardPrograms) {
    for (const { command, passes } of await forwardChains(world, prefix, kind)) {
      if (findProgram(world, command)) found.push(...Array.from({ length: passes }, () => command));
    }
  }
  return found;
}

/** Removes one occurrence of the rule, with a program from `findPassRules`. */
export async function unpassForwardPolicy(
  world: World,
  prefix: readonly string[],
  command: string,
): Promise<void> {
  await world.run([...prefix, command, "--wait", "-D", ...rule]);
}
