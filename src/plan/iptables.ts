/** The comment of the rule by which FORWARD calls an administrator's chain, as in the reference's firewall plugin. */
export const adminComment = "CNI firewall plugin admin overrides";

/** What to remove from one table of iptables. */
export interface Going {
  readonly table: "filter" | "nat";
  /** Chains, with every rule that jumps to them. */
  readonly chains?: readonly string[];
  /** Rules as iptables-save prints them. */
  readonly rules?: readonly string[];
}

/** The input for iptables-restore that removes it; "" if none of it exists. @param saved the output of iptables-save */
export function dropFrom(saved: string, { table, chains = [], rules = [] }: Going): string {
  const lines = linesOf(saved, table);
  const there = chains.filter((chain) => lines.some((line) => line.startsWith(`:${chain} `)));
  const going = lines.filter((line) =>
    rules.includes(line) || there.some((chain) => line.endsWith(` -j ${chain}`))
  );
  const words = [
    ...going.map((line) => line.replace(/^-A /, "-D ")),
    ...there.map((chain) => `-F ${chain}`),
    ...there.map((chain) => `-X ${chain}`),
  ];
  return words.length === 0 ? "" : [`*${table}`, ...words, "COMMIT", ""].join("\n");
}

function linesOf(saved: string, table: string): readonly string[] {
  const [, after = ""] = `\n${saved}`.split(`\n*${table}\n`);
  return after.split("\nCOMMIT")[0]!.split("\n");
}
