/** page_shot URL FILE: a picture of a page that an agent serves, once it has shown traffic for a while. */
import { openTab } from "./browser.ts";

const [url, file] = Deno.args as [string, string];
const tab = await openTab(url, { width: 700, height: 725, isDark: false });
const shown =
  'Math.max(0, ...[...document.querySelectorAll("polyline[points]")].map((line) => line.points.length))';
while (Number(await tab.evaluate(shown)) < 40) await new Promise((resolve) => setTimeout(resolve, 500));
Deno.writeFileSync(file, await tab.screenshot());
await tab.close();
