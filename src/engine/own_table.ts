import { whyFailed, type World } from "../plan/world.ts";

/**
 * What is missing of our table of a family: the table, or rules, of which "nft flush table" leaves only the chains. What
 * it costs does not grow with the number of containers.
 */
export async function missingOf(world: World, family: string): Promise<"table" | "rules" | undefined> {
  const argv = ["nft", "--terse", "list", "table", family, "ocinet"];
  const output = await world.run(argv, { looks: true });
  if (output.code === 0) return lacksRules(output.stdout) ? "rules" : undefined;
  if (output.stderr.includes("No such file")) return "table";
  throw new Error(`Cannot look at rules by nft: ${whyFailed(output)}`);
}

/** Whether a chain that the kernel calls has no rule: each of ours has some. @param listing of our table */
export function lacksRules(listing: string): boolean {
  return / hook .*\n\t\}/.test(listing);
}
