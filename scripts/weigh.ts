/** Checks that dist/ocinet will keep to its budget (budget.ts), without writing it. */
import { findings } from "./budget.ts";
import { bundle } from "./bundle.ts";
import { link } from "./link.ts";

const parts = await bundle(JSON.parse(Deno.readTextFileSync("package.json")).version);
const found = findings(parts, link(Deno.readTextFileSync("src/launcher.sh"), parts).text.length);
for (const line of found) console.error(line);
Deno.exit(found.length ? 1 : 0);
