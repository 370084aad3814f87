import assert from "node:assert/strict";
import { test } from "node:test";
import { checkConstant, importsOf, stubsOf } from "./stubs.ts";

const source = `export const since = "0.3.0";
export const all = ["a"];
export function parse(text: string): string {
  return text;
}
export async function lease(): Promise<void> {}
`;

test("what is imported from elsewhere is found anywhere in a script, a namespace as all that it has", () => {
  const text =
    'import{parse as a,lease}from"elsewhere:x.ts";f();import*as q from"elsewhere:y.ts";import{parse as c,' +
    'default as d}from"elsewhere:x.ts";import{z}from"here";';
  assert.deepEqual([...importsOf(text, () => source)], [
    ["x.ts", ["default", "lease", "parse"]],
    ["y.ts", ["all", "lease", "parse", "since"]],
  ]);
});

test("a stub stands for a function or a literal, and for nothing else", () => {
  const from = { part: "drivers", module: "x.ts", source };
  const [parse, lease, since] = ["parse", "lease", "since"].map((name, i) => ({ name, short: `$${i}` }));
  assert.equal(
    stubsOf(from, [parse!, lease!, since!]),
    'import { stub } from "./src/host/part.ts";\n' +
      'export const parse = /* @__PURE__ */ stub("drivers", "$0");\n' +
      'export const lease = /* @__PURE__ */ stub("drivers", "$1");\n' +
      'export const since = "0.3.0";',
  );
  assert.throws(
    () => stubsOf(from, [{ name: "all", short: "$3" }]),
    /^Error: Cannot load x\.ts lazily: the eager part takes "all" of it, which is neither a function nor a literal; /,
  );
});

test("an export that may change is refused", () => {
  checkConstant("x.ts", source);
  assert.throws(
    () => checkConstant("x.ts", `${source}export let last = 0;\n`),
    /^Error: Cannot share x\.ts between parts: its "last" may change; /,
  );
});
