import assert from "node:assert/strict";
import { test } from "node:test";
import { callDirectly } from "./direct_calls.ts";
import { originOf, readMap, writeMap } from "./source_map.ts";

test("a stand-in that is called at once is the other part's function, and what follows keeps its origin", () => {
  const call = '((...e)=>$part("run").$1f(...e))';
  const text = `a();\nreturn${call}(x)+b;let f=(...e)=>$part("run").$2(...e);${call};c()`;
  const place = (column: number) => ({ column, origin: { source: "src/a.ts", line: column, column: 0 } });
  const columns = ["(x)", "b;", "c()"].map((one) => text.split("\n")[1]!.indexOf(one));
  const { text: direct, map } = callDirectly({ text, map: writeMap("", [[], columns.map(place)]) });
  assert.equal(
    direct,
    `a();\nreturn $part("run").$1f(x)+b;let f=(...e)=>$part("run").$2(...e);${call};c()`,
  );
  const mapping = readMap(map);
  for (const [i, one] of ["(x)", "b;", "c()"].entries()) {
    assert.equal(originOf(mapping, 1, direct.split("\n")[1]!.indexOf(one))?.line, columns[i]);
  }
});
