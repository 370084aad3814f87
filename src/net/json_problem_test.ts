import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonProblem } from "./json_problem.ts";

test("where a text stops being JSON is told by line and column, with what is expected there", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["", "it is empty"],
    [" \n", "it is empty"],
    ["{ nonsense", 'line 1, column 3: a key in double quotes or "}" is expected'],
    ["// x {}", "line 1, column 1: a value is expected"],
    ['{\n  "a": 1\n  "b": 2\n}', 'line 3, column 3: "," or "}" is expected'],
    ['{ "a": 1, }', "line 1, column 11: a key in double quotes is expected"],
    ['{ "a" 1 }', 'line 1, column 7: ":" is expected'],
    ["[1, 2", 'it ends at line 1, column 6, where "," or "]" is expected'],
    ["[,", 'line 1, column 2: a value or "]" is expected'],
    ["[1, ]", "line 1, column 5: a value is expected"],
    ["{} {}", "line 1, column 4: nothing is expected after its end"],
    ['{ "a": 01 }', "line 1, column 8: a value is expected"],
    ["nul", "line 1, column 1: a value is expected"],
    ["01", "line 1, column 1: a value is expected"],
  ];
  for (const [text, problem] of rows) assert.equal(jsonProblem(text), problem, text);
});

test("a text that is nested as deep as it is long is read to its end", () => {
  assert.match(jsonProblem("[".repeat(100_000)), /^it ends at line 1, column 100001/);
});
