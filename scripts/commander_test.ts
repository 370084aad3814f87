import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { withoutPrograms } from "./commander.ts";

test("Commander is bundled without what starts programs, and its lines stay where they are", () => {
  const source = readFileSync("node_modules/commander/lib/command.js", "utf8");
  const small = withoutPrograms(source);
  assert.ok(!small.includes("childProcess.spawn"));
  assert.equal(small.split("\n").length, source.split("\n").length);
  const lineOf = (text: string) => text.split("\n").findIndex((line) => line.includes("outputHelp("));
  assert.equal(lineOf(small), lineOf(source));
  assert.throws(
    () => withoutPrograms("class Command {}\n"),
    /^Error: Cannot leave out of Commander what is not/,
  );
});
