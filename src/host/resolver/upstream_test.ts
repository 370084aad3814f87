import assert from "node:assert/strict";
import { test } from "node:test";
import { rcodes } from "../../wire/dns/packet.ts";
import { askWorld, type Mute } from "./upstream.ts";

/** Asks two servers, each of which answers with such a code, or not at all. @returns who was asked, and the code */
async function askTwo(mute: Mute, codes: Readonly<Record<string, number | undefined>>) {
  const asked: string[] = [];
  const servers = Object.keys(codes);
  const question = { bytes: new Uint8Array(12), question: new Uint8Array(), servers, byConnection: false };
  const answer = await askWorld(new Map(), mute, question, (_, server) => {
    asked.push(server);
    const code = codes[server];
    return Promise.resolve(code === undefined ? undefined : Uint8Array.from([0, 0, 0x81, 0x80 | code]));
  });
  return [asked, answer && answer[3]! & 15];
}

test("a server that did not answer is asked last for a while (aardvark-dns#482)", async () => {
  const mute: Mute = new Map();
  const codes = { "192.0.2.1": undefined, "192.0.2.2": 0 };
  assert.deepEqual(await askTwo(mute, codes), [["192.0.2.1", "192.0.2.2"], 0]);
  assert.deepEqual(await askTwo(mute, codes), [["192.0.2.2"], 0]);
  mute.set("192.0.2.1", Date.now() - 1);
  assert.deepEqual(await askTwo(mute, { ...codes, "192.0.2.1": 0 }), [["192.0.2.1"], 0]);
  assert.equal(mute.size, 0);
});

test("SERVFAIL has the next server asked, and NXDOMAIN does not (libnetwork#1664)", async () => {
  for (const code of [rcodes.servfail, rcodes.refused]) {
    assert.deepEqual(await askTwo(new Map(), { a: code, b: 0 }), [["a", "b"], 0]);
    assert.deepEqual(await askTwo(new Map(), { a: code, b: undefined }), [["a", "b"], code]);
  }
  assert.deepEqual(await askTwo(new Map(), { a: 3, b: 0 }), [["a"], 3]);
});
