/** Links the parts of a bundle to one script: the eager one, and behind it the others in comments. */
import { createHash } from "node:crypto";
import { escapePart, partMark } from "../src/host/part.ts";
import type { Part } from "./bundle.ts";
import { eager } from "./parts.ts";

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
  const placed: Placed[] = [];
  // The launcher looks for an agent of the same build.
  let text = launcher.replaceAll("@BUILD@", id);
  for (const part of parts) {
    const { code, table } = takeApart(part);
    // Its head takes a line.
    const line = text.split("\n").length;
    text += part.name === eager
      ? `(()=>{"use strict";const ocinetBuild="${id}",ocinetEager=()=>(${table});\n${code}\n})();\n`
      : `${partMark(id, part.name, line)}${escapePart(`${code}\nreturn${table}`)}\n*/\n`;
    placed.push({ part, line });
  }
  return { text, placed };
}

/** A part's code without its exports, and these as an object. */
function takeApart({ name, text }: Part): { code: string; table: string } {
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
