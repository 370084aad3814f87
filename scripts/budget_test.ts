import assert from "node:assert/strict";
import { test } from "node:test";
import { findings } from "./budget.ts";
import type { Part } from "./bundle.ts";

function part(name: string, modules: readonly string[], bytes = 1000): Part {
  return {
    name,
    text: " ".repeat(bytes),
    map: "",
    modules: Object.fromEntries(modules.map((one) => [one, 1])),
  };
}

const eager = part("eager", ["src/main.ts", "src/commands/hook.ts", "node_modules/ipaddr.js/lib/ipaddr.js"]);
const people = part("people", ["src/commands/program.ts", "node_modules/commander/index.js"]);

test("a bundle within its budget is right, with what only people need in a part of its own", () => {
  assert.deepEqual(findings([eager, people], 300_000), []);
});

test("a file, or an eager part, above its budget is found", () => {
  const [file, ofEager] = findings([part("eager", [], 500_000), people], 900_000);
  assert.match(file!, /^the file has 900000 bytes, of [0-9]+ that it may have/);
  assert.match(ofEager!, /^its eager part has 500000 bytes, of [0-9]+ that it may have/);
});

test("a module that is there twice is found", () => {
  assert.deepEqual(findings([eager, people, part("run", ["src/commands/hook.ts"])], 300_000), [
    'src/commands/hook.ts is in the part "run", and in one before it',
  ]);
});

test("what only people need is found in the eager part", () => {
  const modules = [
    "src/commands/program.ts",
    "src/commands/run.ts",
    "src/features/doctor/doctor.ts",
    "src/host/relay/relay.ts",
    "node_modules/commander/index.js",
  ];
  assert.deepEqual(
    findings([part("eager", ["src/main.ts", ...modules])], 300_000),
    modules.map((module) =>
      `${module} is in the eager part, and no hook or plugin needs it: load it lazily (scripts/parts.ts)`
    ),
  );
});
