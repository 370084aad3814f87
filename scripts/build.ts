/**
 * Builds dist/ocinet, one executable text file that sh, Deno and Node all take as it is, and beside it dist/ocinet.map,
 * which it does not need. The same sources give the same bytes.
 */
import { launcherText } from "./answers.ts";
import { bundle } from "./bundle.ts";
import { link } from "./link.ts";
import { joinMaps, readMap, writeMap } from "./source_map.ts";

const version = JSON.parse(Deno.readTextFileSync("package.json")).version as string;
const { text, placed } = link(launcherText(version), await bundle(version));
const mapping = joinMaps(placed.map(({ part, line }) => ({ line, mapping: readMap(part.map) })));

Deno.mkdirSync("dist", { recursive: true });
replace("dist/ocinet.map", writeMap("ocinet", mapping), 0o644);
replace("dist/ocinet", text, 0o755);
Deno.exit(0);

/** What runs dist/ocinet meanwhile has the old file or the new one, never half of one. */
function replace(path: string, text: string, mode: number): void {
  const unfinished = `${path}.${Deno.pid}`;
  Deno.writeTextFileSync(unfinished, text);
  Deno.chmodSync(unfinished, mode);
  Deno.renameSync(unfinished, path);
}
