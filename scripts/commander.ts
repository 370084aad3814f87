/** Commander, of which ocinet has no need of all. */
import { readFileSync } from "node:fs";
import type { Plugin } from "esbuild";

/** What starts a program for a command: a method, and a function that only it calls. No command of ocinet's is one. */
const unused: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\n {2}_executeSubCommand\([^]*?\n {2}\}\n/, "\n  _executeSubCommand() {}\n"],
  [/\nfunction incrementNodeInspectorPort\([^]*?\n\}\n/, "\n"],
];

/** Commander's source without it; its lines stay where they are. @throws Error if it is not as it is known */
export function withoutPrograms(source: string): string {
  return unused.reduce((text, [pattern, instead]) => {
    const [found] = pattern.exec(text) ?? [];
    if (found === undefined) throw new Error(`Cannot leave out of Commander what is not in it: ${pattern}`);
    const lines = (part: string) => part.split("\n").length;
    return text.replace(pattern, () => instead + "\n".repeat(lines(found) - lines(instead)));
  }, source);
}

/** Bundles it so. */
export const smallCommander: Plugin = {
  name: "commander",
  setup: ({ onLoad }) =>
    onLoad(
      { filter: /\/commander\/lib\/command\.js$/ },
      ({ path }) => ({ contents: withoutPrograms(readFileSync(path, "utf8")) }),
    ),
};
