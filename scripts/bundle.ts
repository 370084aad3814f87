/**
 * Bundles src/main.ts into an eager part and the lazily loaded ones (parts.ts), each module in one of them. esbuild makes
 * each part several times: first to find which modules it adds to the parts before it; then to find what it takes of the
 * others, until nothing new is found; then as it will be, exporting what the others take.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { minify } from "@swc/core";
import { build, type Plugin } from "esbuild";
import { builtins } from "../src/host/part.ts";
import { callDirectly } from "./direct_calls.ts";
import { compileEagerly } from "./eager_functions.ts";
import { eager, parts } from "./parts.ts";
import { type Alias, checkConstant, importsOf, type Names, type StandIn, standIn, stubsOf } from "./stubs.ts";
import { trim } from "./trim.ts";

/** A part as a minified script, with its source map as JSON. */
export interface Part {
  readonly name: string;
  /** It ends with its exports, and imports nothing: it calls `$part` with the names of other parts. */
  readonly text: string;
  readonly map: string;
  /** Bytes that its modules take, by their paths. */
  readonly modules: Readonly<Record<string, number>>;
}

interface Draft {
  readonly name: string;
  readonly takes: Names;
}

const main = "src/main.ts";

/** All parts, the eager one first. @throws Error when the eager part takes of another what it cannot have by a stub */
export async function bundle(version: string): Promise<readonly Part[]> {
  const deferred = new Map(
    Object.entries(parts).flatMap(([part, modules]) => modules.map((module) => [module, part] as const)),
  );
  const owners = new Map(deferred);
  const short = shortener();
  const names = [eager, ...Object.keys(parts)];
  let drafts: readonly Draft[] = [];
  for (const name of names) {
    const listed = name === eager ? [main] : parts[name]!;
    const entry = [
      entryOf(name, drafts, deferred, short),
      ...listed.map((module) => `import "./${module}";`),
    ];
    drafts = [...drafts, await draft(version, name, entry.join("\n"), owners)];
  }
  for (;;) {
    const before = drafts;
    drafts = await Promise.all(
      names.map((name) => draft(version, name, entryOf(name, before, owners, short), owners)),
    );
    if (JSON.stringify(drafts.map(takenBy)) === JSON.stringify(before.map(takenBy))) break;
  }
  for (const module of drafts.flatMap(({ takes }) => [...takes.keys()])) checkConstant(module, read(module));
  return await Promise.all(
    drafts.map((one) => finish(version, one, entryOf(one.name, drafts, owners, short), owners, short)),
  );
}

function takenBy({ takes }: Draft): readonly unknown[] {
  return [...takes];
}

/** What a part is made from: the program, for the eager one, and what others take of it. */
function entryOf(
  part: string,
  drafts: readonly Draft[],
  owners: ReadonlyMap<string, string>,
  short: Shorten,
): string {
  const exports = exportsOf(part, drafts, owners, short);
  return part === eager ? `import "./${main}";\n${exports}` : exports;
}

/** @param owners the parts of the modules that have one; those that this part reaches first are added */
async function draft(
  version: string,
  name: string,
  entry: string,
  owners: Map<string, string>,
): Promise<Draft> {
  const leaveOut = onModules((module) =>
    (owners.get(module) ?? name) === name ? undefined : { path: `elsewhere:${module}`, external: true }
  );
  const { text, reached } = await run(version, name, [virtual("entry", () => entry), leaveOut]);
  for (const module of reached) owners.set(module, name);
  return { name, takes: importsOf(text, read) };
}

async function finish(
  version: string,
  { name, takes }: Draft,
  entry: string,
  owners: ReadonlyMap<string, string>,
  short: Shorten,
): Promise<Part> {
  const aliases = (module: string) =>
    takes.get(module)!.map((name) => ({ name, short: short(module, name) }));
  const taken = (owner: string) =>
    [...takes.keys()].filter((module) => owners.get(module) === owner).flatMap((module) =>
      standInOf(owner, module, aliases(module)).others
    );
  const part = await run(version, name, [
    virtual("entry", () => entry),
    virtual(
      "elsewhere",
      (module) =>
        name === eager
          ? stubsOf(
            { part: owners.get(module)!, module, source: read(module) },
            aliases(module),
          )
          : lazily(owners.get(module)!, module, aliases(module)),
    ),
    virtual(
      "part",
      (owner) =>
        `export const { ${taken(owner).map(({ short }) => short).join(", ")} } = $part(${
          JSON.stringify(owner)
        });`,
    ),
    onModules((module) => takes.has(module) ? { path: module, namespace: "elsewhere" } : undefined),
  ]);
  const shrunk = await shrink(part);
  return { ...part, ...name === eager ? await compileEagerly(shrunk) : shrunk };
}

/** Makes a part two in a hundred shorter: esbuild simplifies expressions, swc also passes over the whole script. */
async function shrink({ text, map }: Part): Promise<Pick<Part, "text" | "map">> {
  const shrunk = await minify(text, {
    module: true,
    compress: { ecma: 2020, toplevel: true, passes: 2 },
    mangle: { toplevel: true },
    format: { ecma: 2020, comments: "some" },
    // The map to go on from, as Terser takes it; swc's types know only true and false.
    sourceMap: { content: map } as unknown as true,
  });
  return callDirectly({ text: shrunk.code, map: shrunk.map! });
}

/** What a lazily loaded part has in the place of a module of another. */
function lazily(owner: string, module: string, aliases: readonly Alias[]): string {
  const { lines, others } = standInOf(owner, module, aliases);
  return [...lines, ...others.length ? [reexports(owner, others)] : []].join("\n");
}

/** The eager part is there already, and so needs no functions that load it. */
function standInOf(owner: string, module: string, aliases: readonly Alias[]): StandIn {
  if (owner === eager) return { lines: [], others: aliases };
  const part = JSON.stringify(owner);
  return standIn(read(module), aliases, (short) => `(...all) => $part(${part}).${short}(...all)`);
}

function reexports(owner: string, aliases: readonly Alias[]): string {
  return `export { ${
    aliases.map(({ name, short }) => `${short} as ${name}`).join(", ")
  } } from "part:${owner}";`;
}

/** The name of a module's export by which other parts know it. */
type Shorten = (module: string, name: string) => string;

function shortener(): Shorten {
  const known = new Map<string, string>();
  return (module, name) => {
    const key = `${module} ${name}`;
    const short = known.get(key) ?? `$${known.size.toString(36)}`;
    known.set(key, short);
    return short;
  };
}

/** What a part exports for others, a line for each of its modules. */
function exportsOf(
  part: string,
  others: readonly Draft[],
  owners: ReadonlyMap<string, string>,
  short: Shorten,
): string {
  const names = new Map<string, Set<string>>();
  for (const [module, taken] of others.flatMap(({ takes }) => [...takes])) {
    if (owners.get(module) !== part) continue;
    names.set(module, new Set([...names.get(module) ?? [], ...taken]));
  }
  const lines = [...names].map(([module, taken]) =>
    `export { ${
      [...taken].map((name) => `${name} as ${short(module, name)}`).join(", ")
    } } from "./${module}";`
  );
  return lines.join("\n");
}

/** The names in `builtins`, by what they stand for. */
const shortNames = Object.fromEntries(
  [...builtins.matchAll(/(\$\w+)=([\w.]+)/g)].map(([, short, name]) => [name!, short!]),
);

async function run(
  version: string,
  name: string,
  plugins: Plugin[],
): Promise<Part & { reached: readonly string[] }> {
  const { outputFiles, metafile, warnings } = await build({
    entryPoints: [{ in: `entry:${name}`, out: name }],
    outdir: ".",
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    target: "es2023",
    mainFields: ["module", "main"],
    conditions: ["import", "default"],
    legalComments: "inline",
    minify: true,
    // Commander's private properties. Elsewhere such names are those of the runtimes' objects.
    ...(name === "people" ? { mangleProps: /^_[a-z]/ } : {}),
    sourcemap: "external",
    sourcesContent: false,
    define: { OCINET_VERSION: JSON.stringify(version), ...shortNames },
    plugins: [nodeBuffer, events, trim, ...plugins, lazyNode, ownNode],
  });
  // Such as an import that is undefined, because the module that is named only passes it on.
  if (warnings.length > 0) throw new Error(warnings.map(({ text }) => text).join("\n"));
  const file = (path: string) => outputFiles.find((file) => file.path === resolve(path))!.text;
  const isReal = (module: string) => !/^(entry|elsewhere|part):/.test(module);
  const modules = Object.entries(metafile.outputs[`${name}.js`]!.inputs).filter(([module]) => isReal(module));
  return {
    ...{ name, text: file(`${name}.js`), map: file(`${name}.js.map`) },
    modules: Object.fromEntries(modules.map(([module, { bytesInOutput }]) => [module, bytesInOutput])),
    reached: Object.keys(metafile.inputs).filter(isReal),
  };
}

function read(module: string): string {
  return readFileSync(module, "utf8");
}

/** Modules that are made of text, by names in a namespace of their own. */
function virtual(namespace: string, contents: (path: string) => string): Plugin {
  return {
    name: namespace,
    setup({ onResolve, onLoad }) {
      onResolve({ filter: new RegExp(`^${namespace}:`) }, ({ path }) => ({
        path: path.slice(namespace.length + 1),
        namespace,
      }));
      onLoad(
        { filter: /.*/, namespace },
        ({ path }) => ({ contents: contents(path), resolveDir: resolve(".") }),
      );
    },
  };
}

/** Resolves node: modules without require or import, when the part that imports them is evaluated. */
const ownNode: Plugin = virtual("node", (path) => `module.exports = ${builtinModule(path)}`);

/**
 * What Commander requires is resolved at the first use of an export. Deno takes a third of a start to set up its Node
 * layer, and Commander requires more of it than it uses.
 */
const lazyNode: Plugin = {
  name: "lazy node",
  setup({ onResolve, onLoad }) {
    onResolve(
      { filter: /^node:/ },
      ({ path, importer }) =>
        importer.includes("/node_modules/commander/")
          ? { path: path.slice(5), namespace: "lazy" }
          : undefined,
    );
    onLoad({ filter: /.*/, namespace: "lazy" }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, { get: (_, name) => ${builtinModule(path)}[name] })`,
    }));
  },
};

function builtinModule(path: string): string {
  return `process.getBuiltinModule(${JSON.stringify(`node:${path}`)})`;
}

/** What Commander uses of the class that it inherits from. Node's own would set up Deno's Node layer at every start. */
const eventEmitter = `exports.EventEmitter = class {
  heard = {};
  on(name, tell) {
    (this.heard[name] ??= []).push(tell);
    return this;
  }
  emit(name, ...all) {
    this.heard[name]?.forEach((tell) => tell(...all));
  }
  listenerCount(name) {
    return this.heard[name]?.length;
  }
}`;

const events: Plugin = {
  name: "events",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^node:events$/ }, () => ({ path: "events", namespace: "events" }));
    onLoad({ filter: /.*/, namespace: "events" }, () => ({ contents: eventEmitter }));
  },
};

/** Node's own, by the name that dns-packet has for it. */
const nodeBuffer: Plugin = {
  name: "buffer",
  setup: ({ onResolve }) => onResolve({ filter: /^buffer$/ }, () => ({ path: "buffer", namespace: "node" })),
};

/** Resolves modules of this project by their paths in it. */
function onModules(
  found: (module: string) => { path: string; external?: boolean; namespace?: string } | undefined,
): Plugin {
  const root = `${resolve(".")}/`;
  const asked = Symbol();
  return {
    name: "modules",
    setup({ onResolve, resolve: find }) {
      onResolve({ filter: /^[^:]*$/ }, async ({ path, kind, resolveDir, pluginData }) => {
        if (pluginData === asked) return undefined;
        const { path: file } = await find(path, { kind, resolveDir, pluginData: asked });
        return file.startsWith(root) ? found(file.slice(root.length)) : undefined;
      });
    },
  };
}
