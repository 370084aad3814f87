import { adminComment } from "../plan/iptables.ts";
import { passMark } from "../plan/nft.ts";
import { findProgram, type World } from "../plan/world.ts";

/** iptables' programs, with the families that nft and the kernel's own tables have for each. */
export const forwardPrograms = [
  { program: "iptables", family: "ip", tables: "/proc/self/net/ip_tables_names" },
  { program: "ip6tables", family: "ip6", tables: "/proc/self/net/ip6_tables_names" },
] as const;

/** A FORWARD chain that has its say beside ours: nft's, in which iptables keeps its rules today, or one of the legacy kind. */
export interface ForwardChain {
  /** The program for its rules, which may be missing. */
  readonly command: string;
  /** Its policy is DROP. */
  readonly drops: boolean;
  /** Its last rule lets nothing more pass, whatever its policy. */
  readonly rejects: boolean;
  /** How often the rule is there that lets pass what our forward chain has marked. */
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
  // Where there is but one iptables, it knows one kind of tables.
  const legacy = [`${program}-legacy`, ...chain === "" ? [program] : []].find((name) =>
    findProgram(world, name)
  );
  // To ask it for a table makes one.
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

/** Whether the last rule of a chain, as nft or iptables lists it, rejects or drops all that comes to it. */
export function endsInReject(text: string): boolean {
  const last = text.split("\n").map((row) => row.trim())
    .filter((row) => row !== "" && row !== "}" && !/^(table|chain|type|#|-P) ?/.test(row)).at(-1) ?? "";
  return /^(-A \S+ -j (REJECT|DROP)\b|(counter( packets \d+ bytes \d+)? )?(reject|drop)\b)/.test(last);
}

/**
 * Whether a FORWARD chain is there, as far as that costs no process of its own.
 * @param chains what `nft list chains` prints of the families
 */
export function hasForwardChain(world: World, chains: string): boolean {
  if (/^table ip6? filter \{(\n\t.*)*\n\tchain FORWARD \{/m.test(chains)) return true;
  return forwardPrograms.some(({ tables }) => readLines(world, tables).includes("filter"));
}

/** The kernel's lists of legacy tables are for the machine's root alone: root of a user namespace may not read them. */
function readLines(world: World, path: string): readonly string[] {
  try {
    return world.read(path)?.split("\n") ?? [];
  } catch {
    return [];
  }
}

const rule = ["FORWARD", "-m", "mark", "--mark", `${passMark}/${passMark}`, "-j", "ACCEPT"];

/**
 * Where iptables' FORWARD policy is DROP (Docker sets that), accepting a packet in our table does not save it: each
 * table has its own say. One rule there lets through what our forward chain has marked. It is put there wherever there is
 * such a chain, for its policy may yet change; and again wherever it has gone.
 * @returns the programs that put it there
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

/** An administrator's chain keeps its say before it. */
async function insertRule(world: World, prefix: readonly string[], command: string): Promise<void> {
  const { stdout } = await world.run([...prefix, command, "--wait", "-S", "FORWARD"], { looks: true });
  const rules = stdout.split("\n").filter((row) => row.startsWith("-A FORWARD "));
  const admin = rules.findLastIndex((row) => row.includes(adminComment));
  const [chain, ...match] = rule;
  await world.run([...prefix, command, "--wait", "-I", chain!, String(admin + 2), ...match]);
}

/** Where that rule is: its program, as often as it is there. Two that made the table at once may both have put it. */
export async function findPassRules(world: World, prefix: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const kind of forwardPrograms) {
    for (const { command, passes } of await forwardChains(world, prefix, kind)) {
      if (findProgram(world, command)) found.push(...Array.from({ length: passes }, () => command));
    }
  }
  return found;
}

/** Takes that rule away, once, by the program that `findPassRules` names. */
export async function unpassForwardPolicy(
  world: World,
  prefix: readonly string[],
  command: string,
): Promise<void> {
  await world.run([...prefix, command, "--wait", "-D", ...rule]);
}
