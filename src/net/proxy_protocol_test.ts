import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyHeader } from "./proxy_protocol.ts";

const [client4, server4] = [{ address: "192.0.2.2", port: 56324 }, { address: "192.0.2.1", port: 443 }];
const [client6, server6] = [{ address: "2001:db8::2", port: 65535 }, { address: "2001:db8::1", port: 1 }];
const [mapped, mappedServer] = [client4, server4].map(({ address, port }) => ({
  ...{ address: `::ffff:${address}`, port },
})) as [typeof client4, typeof server4];

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const hexOf = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

test("version 1 is a line of text", () => {
  assert.equal(textOf(proxyHeader("v1", client4, server4)), "PROXY TCP4 192.0.2.2 192.0.2.1 56324 443\r\n");
  assert.equal(textOf(proxyHeader("v1", client6, server6)), "PROXY TCP6 2001:db8::2 2001:db8::1 65535 1\r\n");
});

test("version 2 is a signature, the family, the length, addresses and ports", () => {
  assert.equal(
    hexOf(proxyHeader("v2", client4, server4)),
    "0d0a0d0a000d0a515549540a" + "21" + "11" + "000c" + "c0000202" + "c0000201" + "dc04" + "01bb",
  );
  assert.equal(
    hexOf(proxyHeader("v2", client6, server6)),
    "0d0a0d0a000d0a515549540a" + "21" + "21" + "0024" + "20010db8000000000000000000000002" +
      "20010db8000000000000000000000001" + "ffff" + "0001",
  );
});

test("IPv4 on a socket of both families is IPv4, and a zone is left out", () => {
  assert.deepEqual(proxyHeader("v1", mapped, mappedServer), proxyHeader("v1", client4, server4));
  assert.deepEqual(proxyHeader("v2", mapped, mappedServer), proxyHeader("v2", client4, server4));
  const local = { address: "fe80::1%eth0", port: 1 };
  assert.equal(textOf(proxyHeader("v1", local, local)), "PROXY TCP6 fe80::1 fe80::1 1 1\r\n");
});

test("the longest line has the 107 bytes that a reader of version 1 has room for", () => {
  const end = { address: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", port: 65535 };
  assert.ok(proxyHeader("v1", end, end).length <= 107);
});
