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
