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

/** What is left of the remarks in src/launcher.sh. */
const remark =
  "# Built of src/launcher.sh, which says why: sh becomes a runtime here, JavaScript reads a string and a comment.";

/**
 * The first lines of dist/ocinet: src/launcher.sh with these answers, and without its remarks. The first line is sh's, the
 * last one ends what JavaScript takes for a comment.
 */
export function launcherText(version: string): string {
  return Deno.readTextFileSync("src/launcher.sh").replace("@VERSION@", version)
    .replace('"@ANSWERS@") ;;', answersToVersion())
    .replace(/^ *#(?!!| \*\/).*\n/gm, "")
    .replace('":" /*\n', (line) => `${line}${remark}\n`);
}
