/**
 * Links the parts of a bundle to one script: the eager one, and behind it the others in comments. The eager one has the
 * places of the others: how many bytes before the file's end each begins, and how many it has.
 */
import { createHash } from "node:crypto";
import { builtins, escapePart, partMark } from "../src/host/part.ts";
import type { Part } from "./bundle.ts";

const exportsAtEnd = /export\{([^{}]*)\};\s*$/;

/** Where a part's code begins in the linked text: at the start of a line, counted from 0. */
export interface Placed {
  readonly part: Part;
  readonly line: number;
}

/**
 * One script of all parts.
 * @param launcher what comes before it, whole lines
 * @throws Error for a part that imports something, or that a comment cannot hold
 */
export function link(
  launcher: string,
  parts: readonly Part[],
): { readonly text: string; readonly placed: readonly Placed[] } {
  const build = createHash("sha256").update(JSON.stringify([launcher, parts.map(({ text }) => text)]));
  const id = build.digest("hex").slice(0, 16);
  const [{ code, table }, ...lazy] = parts.map(takeApart) as [Apart, ...Apart[]];
  const eagerText = (places: string) =>
    `(()=>{"use strict";${builtins}const ocinetBuild="${id}",ocinetParts={${places}},ocinetEager=()=>(${table});\n${code}\n})();\n`;
  // The launcher looks for an agent of the same build.
  const head = launcher.replaceAll("@BUILD@", id);
  let line = linesOf(head + eagerText(""));
  const placed = [{ part: parts[0]!, line: linesOf(head) + 1 }];
  const texts = lazy.map(({ code, table }, i) => {
    const part = parts[i + 1]!;
    const text = `${partMark(id, part.name, line + 1)}${escapePart(`${code}\nreturn${table}`)}\n*/\n`;
    placed.push({ part, line: line + 1 });
    line += linesOf(text);
    return text;
  });
  const sizes = texts.map((text) => new TextEncoder().encode(text).length);
  const places = sizes.map((size, i) => {
    const fromEnd = sizes.slice(i).reduce((sum, one) => sum + one, 0);
    return `${JSON.stringify(parts[i + 1]!.name)}:[${fromEnd},${size}]`;
  });
  return { text: [head, eagerText(places.join()), ...texts].join(""), placed };
}

function linesOf(text: string): number {
  return text.split("\n").length - 1;
}

interface Apart {
  readonly code: string;
  readonly table: string;
}

/** A part's code without its exports, and these as an object. */
function takeApart({ name, text }: Part): Apart {
  const code = text.replace(exportsAtEnd, "").trimEnd();
  try {
    new Function(code);
  } catch (error) {
    throw new Error(`Cannot link part "${name}": it is no script without its exports: ${error}`);
  }
  const list = exportsAtEnd.exec(text)?.[1] ?? "";
  const entries = list.split(",").filter((one) => one !== "").map((one) => {
    const [local, outside = local] = one.split(" as ");
    return outside === local ? local : `${outside}:${local}`;
  });
  return { code, table: `{${entries.join()}}` };
}
