/** How parts of a bundle take from each other: what a part imports of modules that are not in it, and what stands for them. */

/** Names that are imported, by the module that they are imported from. */
export type Names = ReadonlyMap<string, readonly string[]>;

/** An export of a module, and the name by which other parts know it. */
export interface Alias {
  readonly name: string;
  readonly short: string;
}

/**
 * What a minified script imports from `elsewhere:MODULE`; of a module that it imports as a namespace, all.
 * @param read a module's source
 */
export function importsOf(text: string, read: (module: string) => string): Names {
  const all = [...text.matchAll(/\bimport(?:\{([^{}]*)\}|\*as [\w$]+ )from"elsewhere:([^"]*)"/g)];
  const modules = [...new Set(all.map(([, , module]) => module!))].toSorted();
  return new Map(modules.map((module) => {
    const names = all.filter(([, , from]) => from === module).flatMap(([, list]) =>
      list === undefined ? exportsIn(read(module)) : list.split(",").map((name) => name.split(" as ")[0]!)
    );
    return [module, [...new Set(names)].toSorted()];
  }));
}

function exportsIn(source: string): readonly string[] {
  return [...source.matchAll(/^export (?:async )?(?:function|const|class) (\w+)/gm)].map(([, name]) => name!);
}

/** Refuses a module whose exports may change: another part has them as they were when it was loaded. @throws Error */
export function checkConstant(module: string, source: string): void {
  const [, name] = /^export (?:let|var) (\w+)/m.exec(source) ?? [];
  if (name === undefined) return;
  throw new Error(
    `Cannot share ${module} between parts: its "${name}" may change; export a function that tells it`,
  );
}

/** What a part has in the place of a module of another. */
export interface StandIn {
  /** Functions that load that part when they are called, and literals. */
  readonly lines: readonly string[];
  /** What can be had by neither. */
  readonly others: readonly Alias[];
}

/** @param source of the module @param stub the expression of a function that calls that of the other part */
export function standIn(source: string, aliases: readonly Alias[], stub: (short: string) => string): StandIn {
  const lines: string[] = [], others: Alias[] = [];
  for (const alias of aliases) {
    const { name, short } = alias;
    const literal = new RegExp(`^export const ${name} = ("[^"]*"|true|[0-9]+);$`, "m").exec(source);
    if (literal) lines.push(literal[0]);
    else if (new RegExp(`^export (async )?function ${name}\\b`, "m").test(source)) {
      lines.push(`export const ${name} = ${stub(short)};`);
    } else others.push(alias);
  }
  return { lines, others };
}

/**
 * What the eager part has in the place of a module of another.
 * @throws Error naming what is neither a function nor a literal
 */
export function stubsOf(
  { part, module, source }: { readonly part: string; readonly module: string; readonly source: string },
  aliases: readonly Alias[],
): string {
  const { lines, others } = standIn(
    source,
    aliases,
    (short) => `/* @__PURE__ */ stub(${JSON.stringify(part)}, ${JSON.stringify(short)})`,
  );
  if (others.length) {
    throw new Error(
      `Cannot load ${module} lazily: the eager part takes "${
        others[0]!.name
      }" of it, which is neither a function nor a literal; move that to a module of the eager part`,
    );
  }
  return ['import { stub } from "./src/host/part.ts";', ...lines].join("\n");
}
