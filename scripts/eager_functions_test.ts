import assert from "node:assert/strict";
import { test } from "node:test";
import { compileEagerly } from "./eager_functions.ts";
import { type Mapping, originOf, readMap, writeMap } from "./source_map.ts";

const long = "x".repeat(80);

async function eager(text: string, mapping: Mapping = []): Promise<{ text: string; mapping: Mapping }> {
  const made = await compileEagerly({ text, map: writeMap("", mapping) });
  return { text: made.text, mapping: readMap(made.map) };
}

test("declared functions are values in parentheses, and there from the start", async () => {
  const rows = [
    ["f(1);function f(a,b=2){return a+b}", "let f=((a,b=2)=>a+b);f(1);"],
    ["async function f({a}){await a;return a}", "let f=(async function({a}){await a;return a});"],
    ["function f(){return{a:1}}function $g(){return f(),1}", "let f=(()=>({a:1})),$g=(()=>(f(),1));"],
    ["function f(){return this.a}", "let f=(function(){return this.a});"],
    ["async function f(){return()=>arguments[0]}", "let f=(async function(){return()=>arguments[0]});"],
    ["function f(){return}", "let f=(()=>{return});"],
    ["function*f(){yield 1}export{f as a};", "function*f(){yield 1}export{f as a};"],
  ];
  for (const [text, made] of rows) assert.equal((await eager(text!)).text, made);
});

test("functions within others are in parentheses unless they are short", async () => {
  const { text } = await eager(`let a=()=>1,b=e=>"${long}"+(()=>1)(),c={d:function(){return"${long}"}};`);
  assert.equal(text, `let a=()=>1,b=(e=>"${long}"+(()=>1)()),c={d:(function(){return"${long}"})};`);
  const nested = await eager(`function f(){g(async()=>{await(e=>"${long}")})}`);
  assert.equal(nested.text, `let f=(()=>{g(async()=>{await((e=>"${long}"))})});`);
});

test("what is moved keeps its origin", async () => {
  const text = "let a=1;\nf(a);function f(a){throw a}";
  const place = (column: number) => ({ column, origin: { source: "src/a.ts", line: column, column: 1 } });
  const mapping = [[place(4)], [place(0), place(5), place(19)]];
  const made = await eager(text, mapping);
  assert.equal(made.text, "let f=((a)=>{throw a});let a=1;\nf(a);");
  assert.equal(originOf(made.mapping, 0, made.text.indexOf("throw"))?.line, 19);
  assert.equal(originOf(made.mapping, 0, made.text.indexOf("a=1"))?.line, 4);
  assert.equal(originOf(made.mapping, 1, 0)?.line, 0);
});

test("a script whose places would be counted otherwise is refused", async () => {
  await assert.rejects(eager('f("\u2026")'), /not ASCII/);
});
