import assert from "node:assert/strict";
import { test } from "node:test";
import { addForward, removeForward } from "./hostfwd.ts";

const port = { proto: "tcp", host_addr: "0.0.0.0", host_port: 80, guest_addr: "10.0.2.100", guest_port: 8 };
const entries = [
  { id: 1, ...port, proto: "udp" },
  { id: 2, ...port, host_addr: "127.0.0.1" },
  { id: 3, ...port, host_port: 81 },
  { id: 4, ...port },
];

test("a port is taken away by the id that it was given, in whichever form the list is", () => {
  const request = '{"execute":"remove_hostfwd","arguments":{"id":4}}';
  for (const list of [{ entries }, { return: { entries } }]) {
    assert.equal(removeForward(addForward("/s", port), JSON.stringify(list)), request);
  }
});

test("one that is not there is not taken away", () => {
  assert.equal(
    removeForward(addForward("/s", port), JSON.stringify({ entries: entries.slice(0, 3) })),
    undefined,
  );
  assert.equal(removeForward(addForward("/s", port), '{"return":{}}'), undefined);
});
