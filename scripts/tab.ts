/**
 * tab URL WIDTH light|dark: opens a page in headless Chromium. For each line of its input, an expression of JavaScript,
 * it prints the value in the page as a line of JSON; for the line "errors", what the page's console has of them.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { openTab } from "./browser.ts";

const [url, width, colours] = Deno.args as [string, string, string];
const tab = await openTab(url, { width: Number(width), height: 800, isDark: colours === "dark" });
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(line === "errors" ? tab.errors : await tab.evaluate(line) ?? null));
}
await tab.close();
