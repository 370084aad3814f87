/**
 * Builds dist/ocinet: one executable text file that sh, Deno and Node all take as it is. What hooks and plugins need
 * comes first; what only people type sleeps behind it in a comment (src/lazy_part.ts).
 */
import { build, type Plugin } from "esbuild";
import { escapedEnd, lazyPartMark } from "../src/lazy_part.ts";

const version = JSON.parse(Deno.readTextFileSync("package.json")).version as string;

/** Resolves node: modules at their first use, without require or import. */
const lazyNode: Plugin = {
  name: "lazy-node",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "lazy-node" }));
    onLoad({ filter: /.*/, namespace: "lazy-node" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

/** A script with all that its entry needs. */
async function bundle(entry: string, globalName?: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    ...(globalName === undefined ? {} : { globalName }),
    bundle: true,
    write: false,
    format: "iife",
    platform: "neutral",
    target: "es2023",
    mainFields: ["module", "main"],
    conditions: ["import", "default"],
    legalComments: "inline",
    minifySyntax: true,
    minifyWhitespace: true,
    define: { OCINET_VERSION: JSON.stringify(version) },
    plugins: [lazyNode],
  });
  return outputFiles[0]!.text;
}

const awake = await bundle("src/main.ts");
const asleep = await bundle("src/lazy.ts", "ocinetLazy");
const launcher = Deno.readTextFileSync("src/launcher.sh").replace("@VERSION@", version);
const text = `${launcher}${awake}${lazyPartMark}${asleep.replaceAll("*/", escapedEnd)}*/\n`;

// Whoever runs dist/ocinet meanwhile has the old file or the new one, never half of one.
const unfinished = `dist/.ocinet-${Deno.pid}`;
Deno.mkdirSync("dist", { recursive: true });
Deno.writeTextFileSync(unfinished, text);
Deno.chmodSync(unfinished, 0o755);
Deno.renameSync(unfinished, "dist/ocinet");
Deno.exit(0);
