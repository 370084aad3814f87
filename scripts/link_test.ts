import assert from "node:assert/strict";
import { test } from "node:test";
import { builtins, readPart } from "../src/host/part.ts";
import type { Part } from "./bundle.ts";
import { link } from "./link.ts";

function part(name: string, text: string): Part {
  return { name, text, map: "", modules: {} };
}

const eager = part("eager", "let a=1;\nlog(a,ocinetEager());export{a as $0,log};\n");
const lazy = part("lazy", 'let{$0:b}=$part("eager"),c=/x*/;\nlog(b);export{b as $1,c};\n');

test("the eager part is a script with the table of what it has, and the others are comments", () => {
  const { text, placed } = link("launcher\n", [eager, lazy]);
  const [, build] = /ocinetBuild="([0-9a-f]{16})"/.exec(text)!;
  assert.equal(
    text,
    `launcher\n(()=>{"use strict";${builtins}const ocinetBuild="${build}",ocinetParts={"lazy":[92,92]},` +
      "ocinetEager=()=>({$0:a,log});\nlet a=1;\n" +
      `log(a,ocinetEager());\n})();\n/*ocinet ${build} lazy 6\n` +
      'let{$0:b}=$part("eager"),c=/x*\u0001;\nlog(b);\nreturn{$1:b,c}\n*/\n',
  );
  assert.deepEqual(placed.map(({ part, line }) => [part.name, line]), [["eager", 2], ["lazy", 6]]);
  const logged: unknown[] = [];
  new Function("log", text.replace("launcher\n", ""))((...all: unknown[]) => logged.push(...all));
  assert.equal(logged[0], 1);
});

test("a part is where the eager one has it, of its build, on its line, as it was", () => {
  const other = part("other", 'say("ü");\n');
  const { text } = link("launcher\n", [eager, lazy, other]);
  const [, build, listed] = /ocinetBuild="([0-9a-f]{16})",ocinetParts=(\{.*?\]\})/.exec(text)!;
  const bytes = new TextEncoder().encode(text);
  const textOf = ([fromEnd, size]: readonly [number, number]) =>
    new TextDecoder().decode(bytes.subarray(bytes.length - fromEnd, bytes.length - fromEnd + size));
  const places = JSON.parse(listed!) as Readonly<Record<string, readonly [number, number]>>;
  const code = 'let{$0:b}=$part("eager"),c=/x*/;\nlog(b);\nreturn{$1:b,c}';
  const [found, next] = [textOf(places["lazy"]!), textOf(places["other"]!)];
  assert.deepEqual(readPart(found, build!, "lazy"), { code, line: 6 });
  assert.deepEqual(readPart(next, build!, "other"), { code: 'say("ü");\nreturn{}', line: 11 });
  assert.equal(readPart(found, build!, "laz"), undefined);
  assert.equal(readPart(found, "0123456789abcdef", "lazy"), undefined);
  assert.equal(readPart(found.slice(0, -1), build!, "lazy"), undefined);
  assert.equal(text.split("\n")[6], 'let{$0:b}=$part("eager"),c=/x*\u0001;');
  assert.equal(text.split("\n")[11], 'say("ü");');
});

test("the same parts make the same text, others another build", () => {
  const { text } = link("launcher\n", [eager, lazy]);
  assert.equal(link("launcher\n", [eager, lazy]).text, text);
  const build = (text: string) => /ocinetBuild="([0-9a-f]+)"/.exec(text)![1];
  assert.notEqual(build(link("launcher\n", [eager, part("lazy", "f();\n")]).text), build(text));
});

test("what is no script, or no comment could hold, is refused", () => {
  assert.throws(
    () => link("", [eager, part("lazy", 'import{a}from"b";a();\n')]),
    /^Error: Cannot link part "lazy": /,
  );
  assert.throws(
    () => link("", [eager, part("lazy", 'f("*\u0001");\n')]),
    /^Error: Cannot put code into a comment/,
  );
});
