import assert from "node:assert/strict";
import { test } from "node:test";
import { joinMaps, type Mapping, mapTrace, originOf, readMap, writeMap } from "./source_map.ts";

const one: Mapping = [
  [{ column: 0, origin: { source: "src/b.ts", line: 70, column: 4 } }, { column: 40 }],
  [],
  [{ column: 1000, origin: { source: "src/a.ts", line: 0, column: 0 } }],
];
const other: Mapping = [[{ column: 2, origin: { source: "src/b.ts", line: 3, column: 1 } }]];

test("a map that is written is read again, with the sources in the order of the alphabet", () => {
  const json = writeMap("ocinet", one);
  assert.deepEqual(readMap(json), one);
  assert.deepEqual(JSON.parse(json).sources, ["src/a.ts", "src/b.ts"]);
  // As ECMA-426 has it: one segment of differences, then one of a column alone; the source's line goes back by 70.
  assert.equal(JSON.parse(json).mappings, "ACsEI,wC;;w+BDtEJ");
});

test("maps are joined at the lines where their texts are", () => {
  const joined = joinMaps([{ line: 2, mapping: one }, { line: 7, mapping: other }]);
  assert.deepEqual(joined.map((segments) => segments.length), [0, 0, 2, 0, 1, 0, 0, 1]);
  assert.deepEqual(originOf(joined, 7, 9), { source: "src/b.ts", line: 3, column: 1 });
  assert.equal(originOf(joined, 7, 1), undefined);
  assert.equal(originOf(joined, 2, 41), undefined);
  assert.equal(originOf(joined, 99, 0), undefined);
});

test("a trace of Deno or Node names the sources' lines", () => {
  assert.equal(
    mapTrace(
      joinMaps([{ line: 2, mapping: one }]),
      "Error: no\n    at a (file:///x/ocinet:3:12)\n    at /x/ocinet:3:3\n    at b (/x/ocinet, <anonymous>:5:1001)\n" +
        "    at c (/x/ocinet:9:9)",
    ),
    "Error: no\n    at a (src/b.ts:71:5)\n    at src/b.ts:71:5\n    at b (src/a.ts:1:1)\n    at c (/x/ocinet:9:9)",
  );
});
