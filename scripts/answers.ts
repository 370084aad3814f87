/** What the launcher answers by itself, without a runtime. */
import { versionJson } from "../src/commands/plugin.ts";
import { table } from "../src/drivers/table.ts";

/** Patterns of a `case` of sh: of each plugin type, what it prints for CNI_COMMAND=VERSION. */
export function answersToVersion(): string {
  const types = Map.groupBy(Object.keys(table), versionJson);
  return Array.from(types, ([answer, alike]) => `${alike.join(" | ")}) echo '${answer}' && exit ;;`).join(
    "\n    ",
  );
}

/**
 * The first lines of dist/ocinet: src/launcher.sh with these answers, and without its remarks but the first, which says
 * what the file is. The last line ends what JavaScript takes for a comment.
 */
export function launcherText(version: string): string {
  const text = Deno.readTextFileSync("src/launcher.sh").replace("@VERSION@", version)
    .replace('"@ANSWERS@") ;;', answersToVersion());
  const start = text.indexOf("\n[ ");
  return text.slice(0, start) + text.slice(start).replace(/^ *#(?! \*\/).*\n/gm, "");
}
