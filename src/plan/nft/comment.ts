/** What to remove from an nft table that is not ours. */
export interface Commented {
  /** Selects rules by their comments. */
  readonly isTheirs: (comment: string) => boolean;
  readonly chains?: readonly string[];
}

/**
 * The nft lines that delete rules by comment, and then chains by name; "" if none exists.
 * @param listed the output of `nft --handle list table`
 */
export function dropCommented(listed: string, { isTheirs, chains = [] }: Commented): string {
  let [table, chain] = ["", ""];
  const there: string[] = [];
  const rules = listed.split("\n").flatMap((line) => {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    const begun = /^\tchain (\S+) \{/.exec(line)?.[1];
    if (begun !== undefined) there.push(chain = begun);
    const [, comment, handle] = / comment "([^"]*)" # handle ([0-9]+)$/.exec(line) ?? [];
    if (comment === undefined || !isTheirs(comment)) return [];
    return [`delete rule ${table} ${chain} handle ${handle}\n`];
  });
  const going = chains.filter((name) => there.includes(name));
  return [...rules, ...going.map((name) => `delete chain ${table} ${name}\n`)].join("");
}
