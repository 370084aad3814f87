/** Checks that dist/ocinet will keep to its budget (budget.ts), without writing it. */
import { findings } from "./budget.ts";
import { launcherText } from "./answers.ts";
import { bundle } from "./bundle.ts";
import { link } from "./link.ts";

const { version } = JSON.parse(Deno.readTextFileSync("package.json"));
const parts = await bundle(version);
const found = findings(parts, link(launcherText(version), parts).text.length);
for (const line of found) console.error(line);
Deno.exit(found.length ? 1 : 0);
