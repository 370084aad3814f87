import assert from "node:assert/strict";
import { test } from "node:test";
import { findings } from "./imports.ts";

test("imports downward are right", () => {
  assert.deepEqual(findings("src/plan/ip.ts", `import { family } from "../net/address.ts";`), []);
  assert.deepEqual(findings("src/wire/cni/result.ts", `import { family } from "../../net/address.ts";`), []);
  assert.deepEqual(
    findings("src/features/container/gc.ts", `import type { A } from "../../drivers/main/bridge.ts";`),
    [],
  );
  assert.deepEqual(findings("src/main.ts", `import { hook } from "./commands/hook.ts";`), []);
  assert.deepEqual(
    findings("src/drivers/main/ptp.ts", `import "./veth.ts"; import ip from "ipaddr.js";`),
    [],
  );
});

test("imports upward are found with their line", () => {
  assert.deepEqual(findings("src/plan/ip.ts", `import {\n  undo,\n} from "../engine/undo.ts";\n`), [
    "src/plan/ip.ts:3: plan must not import engine",
  ]);
  assert.deepEqual(findings("src/net/names.ts", `export * from "../wire/cni/error.ts";`), [
    "src/net/names.ts:1: net must not import wire/cni",
  ]);
  assert.deepEqual(findings("src/commands/up.ts", `const m = await import("../main.ts");`), [
    "src/commands/up.ts:1: commands must not import main",
  ]);
  assert.deepEqual(findings("src/features/run/run.ts", `import "../session/session.ts";`), [
    "src/features/run/run.ts:1: features/run must not import features/session",
  ]);
});

test("a long file says in its head why it is one", () => {
  const long = (head: string) => `${head}${"const a = 1;\n".repeat(300)}`;
  assert.deepEqual(findings("src/plan/ip.ts", long("")), []);
  assert.deepEqual(findings("src/plan/ip.ts", long("/** A list. */\n")), [
    "src/plan/ip.ts: over 300 lines, and its head says no reason",
  ]);
  assert.deepEqual(findings("src/plan/ip.ts", long("/** A list, whole in\n * one file. */\n")), []);
  assert.deepEqual(findings("src/plan/ip_test.ts", long("/** A list. */\n")), []);
});

test("the machine in memory is for tests", () => {
  const fake = `import { newFake } from "../host/fake.ts";`;
  assert.deepEqual(findings("src/engine/gc_test.ts", fake), []);
  assert.deepEqual(findings("src/laws/machine.ts", fake), []);
  assert.deepEqual(findings("src/engine/gc.ts", fake), [
    "src/engine/gc.ts:1: only tests may import src/host/fake.ts",
  ]);
  assert.equal(findings("src/main.ts", `import "./laws/machine.ts";`).length, 1);
});

test("neighbours do not import each other", () => {
  for (
    const [from, to] of [
      ["wire/cni", "wire/oci"],
      ["drivers/ipam", "drivers/meta"],
      ["drivers/meta", "drivers/uplinks"],
      ["drivers", "host"],
      ["host", "drivers"],
      ["host", "drivers/uplinks"],
      ["features/session", "features/helper"],
    ]
  ) {
    const up = "../".repeat(from!.split("/").length);
    assert.deepEqual(findings(`src/${from}/a.ts`, `import type { A } from "${up}${to}/a.ts";`), [
      `src/${from}/a.ts:1: ${from} must not import ${to}`,
    ]);
  }
});

test("a table beside its rooms may import them, and they what lies beside them below", () => {
  assert.deepEqual(findings("src/drivers/table.ts", `import * as bridge from "./main/bridge.ts";`), []);
  assert.deepEqual(findings("src/drivers/main/bridge.ts", `import type { Lease } from "../plugin.ts";`), []);
  assert.equal(findings("src/drivers/main/bridge.ts", `import { table } from "../table.ts";`).length, 1);
});

test("types imported in place count too", () => {
  assert.equal(findings("src/wire/oci/state.ts", `let x: import("../cni/error.ts").CniError;`).length, 1);
});

test("folders without a rule and files outside src are found", () => {
  assert.deepEqual(findings("src/utils/a.ts", `import "../net/address.ts";`), [
    "src/utils/a.ts:1: no rule says what utils may import",
  ]);
  assert.deepEqual(findings("src/main.ts", `import "../scripts/build.ts";`), [
    "src/main.ts:1: scripts/build.ts is outside src/",
  ]);
});

test("the relay has Node's sockets, and nothing else of a runtime's", () => {
  assert.deepEqual(findings("src/host/relay/join.ts", `import type { Socket } from "node:net";`), []);
  assert.equal(findings("src/host/relay/join_test.ts", `import type { Socket } from "node:net";`).length, 1);
  assert.equal(findings("src/host/relay/join.ts", `process.exit();\nDeno.exit();`).length, 2);
});

test("node: belongs to host/node/ and Deno to host/deno/", () => {
  const node = `import type * as Fs from "node:fs";\nprocess.exit();`;
  assert.deepEqual(findings("src/host/node/files.ts", node), []);
  assert.deepEqual(findings("src/host/deno/files.ts", node), [
    "src/host/deno/files.ts:1: only src/host/node/ may import node:fs",
    "src/host/deno/files.ts:2: only src/host/node/ may name process",
  ]);
  assert.deepEqual(findings("src/host/deno/files.ts", `Deno.exit(0);`), []);
  assert.deepEqual(findings("src/main.ts", `\nglobalThis.Deno?.exit(globalThis.process.pid);`), [
    "src/main.ts:2: only src/host/deno/ may name Deno",
    "src/main.ts:2: only src/host/node/ may name process",
  ]);
});

test("tests import the test runner and assertions, nothing else of Node's", () => {
  const source = `import { test } from "node:test"; import assert from "node:assert/strict";`;
  assert.deepEqual(findings("src/net/names_test.ts", source), []);
  assert.deepEqual(findings("src/net/names_test.ts", `import "node:fs";`), [
    "src/net/names_test.ts:1: a test may import node:test and node:assert/strict, not node:fs",
  ]);
});

test("words in strings, templates, comments and patterns are no code; holes are", () => {
  const source = [
    `// process.exit`,
    `/* Deno.exit */ const quote = /["'\`/]Deno/.test(text) ? 4 / 2 : "Deno" in globalThis;`,
    "const said = `process.exit ${`Deno ${ { a: 1 }.a } Deno`} Deno`;",
    `ipaddr.process(said);`,
    "const bad = `a ${Deno.pid} b`;",
  ].join("\n");
  assert.deepEqual(findings("src/main.ts", source), ["src/main.ts:5: only src/host/deno/ may name Deno"]);
});

test("tests may work on the real system", () => {
  const source = `import { realWorld } from "../host/runtime.ts";`;
  assert.deepEqual(findings("src/drivers/table_test.ts", source), []);
  assert.equal(findings("src/drivers/table.ts", source).length, 1);
});
