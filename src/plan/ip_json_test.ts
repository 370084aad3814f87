import assert from "node:assert/strict";
import { test } from "node:test";
import { readRows } from "./ip_json.ts";

function names(text: string): string {
  return JSON.stringify(readRows(text).map(({ ifname }) => ifname));
}

test("rows are read from each line of a batch", () => {
  assert.equal(names('[{"ifname":"a"},{"ifname":"b"}]\n[]\n[{"ifname":"c"}]\n'), '["a","b","c"]');
  assert.equal(names(""), "[]");
});

test("control characters in a link's name or alias, which ip leaves as they are, are read", () => {
  assert.equal(names('[{"ifname":"e\u001b[1m","ifalias":"\u0001\u0007 \\" \\\\"}]\n'), '["e\\u001b[1m"]');
});

test("where the kernel has no IPv6, a lone bracket is no row, nor does it hide those after it", () => {
  assert.equal(names("["), "[]");
  assert.equal(names("[[\n"), "[]");
  assert.equal(names('[[{"ifname":"a"}]\n'), '["a"]');
});

test("one link whose description is not JSON leaves the others", () => {
  const whole = '[{"ifindex":1,"ifname":"a"},{"ifindex":2,"ifname":"b" mode bad},{"ifindex":3,"ifname":"c"}]';
  assert.equal(names(whole), '["a","c"]');
  assert.equal(names('[{"ifindex":1,"ifname":"a,{\\"ifindex\\":9"} x,{"ifindex":3,"ifname":"c"}]'), '["c"]');
});
