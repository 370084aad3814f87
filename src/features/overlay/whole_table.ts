import type { World } from "../../plan/world.ts";

/**
 * What nft lists of a table of ours; undefined where it lacks something that its lines add, because another program took it
 * away.
 */
export async function listWhole(world: World, table: string, lines: string): Promise<string | undefined> {
  const { code, stdout } = await world.run(["nft", "--handle", "list", "table", ...table.split(" ")], {
    looks: true,
  });
  const added = lines.match(/^add (set|chain|rule) /gm)?.length ?? 0;
  // The table itself has one, too.
  return code === 0 && stdout.split("# handle ").length - 2 === added ? stdout : undefined;
}
