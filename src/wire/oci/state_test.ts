import assert from "node:assert/strict";
import { test } from "node:test";
import { parseState } from "./state.ts";

test("the state is read, and what a runtime leaves out at poststop is absent", () => {
  const text =
    '{"ociVersion":"1.0.2","id":"c1","status":"creating","pid":7,"bundle":"/b","annotations":{"a":"b"}}';
  assert.deepEqual(parseState(text), { id: "c1", pid: 7, bundle: "/b", annotations: { a: "b" } });
  assert.deepEqual(parseState('{"id":"c1"}'), { id: "c1", pid: 0, bundle: "", annotations: {} });
  assert.deepEqual(parseState('{"id":"c1","annotations":null}').annotations, {});
});

test("a state that is none is refused with the reason", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["[]", "it is not an object"],
    ["null", "it is not an object"],
    ['"c1"', "it is not an object"],
    ["{}", 'it has no "id"'],
    ['{"id":""}', 'it has no "id"'],
    ['{"id":7}', 'it has no "id"'],
    ['{"id":"c1","pid":"7"}', 'its "pid" is "7"'],
    ['{"id":"c1","pid":-1}', 'its "pid" is -1'],
    ['{"id":"c1","pid":1.5}', 'its "pid" is 1.5'],
    ['{"id":"c1","pid":99999999999999999999}', 'its "pid" is 100000000000000000000'],
    ['{"id":"c1","bundle":["/b"]}', 'its "bundle" is ["/b"]'],
    ['{"id":"c1","annotations":[]}', 'its "annotations" are no object'],
    ['{"id":"c1","annotations":{"a":1}}', 'its annotation "a" is no string'],
  ];
  for (const [text, reason] of rows) {
    assert.throws(() => parseState(text), {
      message: `Cannot read the OCI state on standard input: ${reason}`,
    });
  }
  for (const text of ["", "{", "\0"]) {
    assert.throws(
      () => parseState(text),
      /^Error: Cannot read the OCI state on standard input: it is not JSON: ./,
    );
  }
});
