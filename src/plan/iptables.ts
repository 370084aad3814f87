/** What marks the rule by which FORWARD calls an administrator's chain, as the reference's firewall has it. */
export const adminComment = "CNI firewall plugin admin overrides";

/** What is to go from one table of iptables. */
export interface Going {
  readonly table: "filter" | "nat";
  /** With every rule that leads to one of them. */
  readonly chains?: readonly string[];
  /** As iptables-save prints them. */
  readonly rules?: readonly string[];
}

/**
 * What iptables-restore is told so that it goes; "" where nothing of it is there.
 * @param saved what iptables-save printed
 */
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
