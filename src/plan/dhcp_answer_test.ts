import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnswer } from "./dhcp_answer.ts";

/** The values in the format of `env -0`. */
function variables(values: Record<string, string>): string {
  const all = { PATH: "/bin", ip: "10.9.0.5", mask: "24", ...values };
  return Object.entries(all).map(([name, value]) => `${name}=${value}\0`).join("");
}

test("parseAnswer() gives address, first router, default route and names", () => {
  assert.deepEqual(
    parseAnswer(variables({ router: "10.9.0.1 10.9.0.2", dns: "10.9.0.3 8.8.8.8", domain: "lan.example" })),
    {
      ip: { address: "10.9.0.5/24", gateway: "10.9.0.1" },
      routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }],
      dns: { nameservers: ["10.9.0.3", "8.8.8.8"], domain: "lan.example", search: [] },
    },
  );
});

test("parseAnswer() takes classful routes beside the router, and classless ones instead of both", () => {
  const classful = { router: "10.9.0.1", routes: "172.16.3.4/10.9.0.2 10.0.0.0/10.9.0.3 192.0.2.9/10.9.0.4" };
  assert.deepEqual(parseAnswer(variables(classful)).routes, [
    { dst: "172.16.0.0/16", gw: "10.9.0.2" },
    { dst: "10.0.0.0/8", gw: "10.9.0.3" },
    { dst: "192.0.2.0/24", gw: "10.9.0.4" },
    { dst: "0.0.0.0/0", gw: "10.9.0.1" },
  ]);
  const staticroutes = "0.0.0.0/0 10.9.0.7 10.6.1.2/16 0.0.0.0";
  assert.deepEqual(parseAnswer(variables({ ...classful, staticroutes })), {
    ip: { address: "10.9.0.5/24", gateway: "10.9.0.1" },
    routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.7" }, { dst: "10.6.0.0/16", scope: 253 }],
    dns: { nameservers: [], search: [] },
  });
});

test("parseAnswer() refuses an address that no host can have", () => {
  for (
    const ip of [
      "",
      "0.0.0.0",
      "127.0.0.1",
      "224.0.0.1",
      "255.255.255.255",
      "10.9.0.300",
      "::1",
      "10.9.0.5\n",
      "1",
    ]
  ) {
    assert.throws(
      () => parseAnswer(variables({ ip })),
      /^CniError: Cannot use address ".*" of a DHCP server: no host /,
    );
  }
  for (const mask of ["", "0", "33", "-1", "24;", "255.255.255.0"]) {
    assert.throws(() => parseAnswer(variables({ mask })), /^CniError: Cannot use address /);
  }
  assert.throws(() => parseAnswer("ip=10.9.0.5\0"), /DHCP option Subnet Mask not found in DHCPACK/);
});

test("parseAnswer() leaves out what else a hostile server says", () => {
  const dns = (domain: string, search = "") => parseAnswer(variables({ domain, search })).dns;
  const bad = [
    "a\nnameserver 6.6.6.6",
    "a;b",
    "a b",
    "$(reboot)",
    "-a",
    "a..b",
    "a.".repeat(127),
    "ä.de",
    "bad",
    "x".repeat(64),
  ];
  for (const name of bad) assert.deepEqual(dns(name), { nameservers: [], search: [] }, name);
  assert.deepEqual(dns("ok.example.", "*.example ok.example -x _srv.example").search, [
    "ok.example",
    "_srv.example",
  ]);
  assert.deepEqual(
    parseAnswer(
      variables({ router: "0.0.0.0 224.0.0.1 127.0.0.1 x", dns: "127.0.0.53 ::1 0.0.0.0 10.9.0.3\nx" }),
    ),
    { ip: { address: "10.9.0.5/24" }, routes: [], dns: { nameservers: [], search: [] } },
  );
  const staticroutes = "10.5.0.0/33 10.9.0.1 10.6.0.0/16 127.0.0.1 ::/0 10.9.0.1 x y 10.7.0.0/16";
  assert.deepEqual(
    parseAnswer(variables({ staticroutes, routes: "x/y 0.0.0.0/10.9.0.1 10.1.1.1" })).routes,
    [],
  );
});

test("parseAnswer() reads a variable up to its end, whatever is in it", () => {
  const { dns, ip } = parseAnswer(variables({ opt66: "a\nip=6.6.6.6\nrouter=6.6.6.6", domain: "a=b" }));
  assert.deepEqual([ip, dns], [{ address: "10.9.0.5/24" }, { nameservers: [], search: [] }]);
});
