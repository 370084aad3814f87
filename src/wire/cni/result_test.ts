import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "./fields.ts";
import {
  atLeast,
  emptyResult,
  hasDns,
  parseDns,
  parseResult,
  parseRoute,
  type Result,
  resultFor,
  versions,
} from "./result.ts";

const full: Result = {
  interfaces: [
    { name: "cni0", mac: "02:00:00:00:00:01" },
    { name: "eth0", mac: "02:00:00:00:00:02", mtu: 1400, sandbox: "/n", socketPath: "/s", pciID: "p" },
  ],
  ips: [
    { address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 1 },
    { address: "fd00::3/64", interface: 1 },
  ],
  routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1", mtu: 1300, table: 0 }, { dst: "::/0" }],
  dns: { nameservers: ["10.0.0.53"], search: ["a"] },
};

/** The result as a reader gets it: fields without a value are absent. */
function written(version: string, result: Result): unknown {
  return JSON.parse(JSON.stringify(resultFor(version, result)));
}

test("1.0.0 and 1.1.0 carry everything", () => {
  for (const cniVersion of ["1.0.0", "1.1.0"]) {
    assert.deepEqual(written(cniVersion, full), { cniVersion, ...full });
    assert.deepEqual(written(cniVersion, emptyResult), { cniVersion });
  }
});

test("0.3.0 to 0.4.0 carry the address's version, three keys of an interface, and dns even when empty", () => {
  for (const cniVersion of ["0.3.0", "0.3.1", "0.4.0"]) {
    assert.deepEqual(written(cniVersion, full), {
      cniVersion,
      interfaces: [
        { name: "cni0", mac: "02:00:00:00:00:01" },
        { name: "eth0", mac: "02:00:00:00:00:02", sandbox: "/n" },
      ],
      ips: [
        { version: "4", interface: 1, address: "10.1.2.3/24", gateway: "10.1.2.1" },
        { version: "6", interface: 1, address: "fd00::3/64" },
      ],
      routes: full.routes,
      dns: full.dns,
    });
    assert.deepEqual(written(cniVersion, emptyResult), { cniVersion, dns: {} });
  }
});

test("0.1.0 and 0.2.0 carry the first address of each family with its routes", () => {
  const more = { ...full, ips: [...full.ips, { address: "10.9.9.9/24" }] };
  for (const cniVersion of ["0.1.0", "0.2.0"]) {
    assert.deepEqual(written(cniVersion, more), {
      cniVersion,
      ip4: { ip: "10.1.2.3/24", gateway: "10.1.2.1", routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }] },
      ip6: { ip: "fd00::3/64", routes: [{ dst: "::/0" }] },
      dns: full.dns,
    });
    assert.throws(() => resultFor(cniVersion, emptyResult), {
      code: 999,
      message: "cannot convert: no valid IP addresses",
    });
  }
});

test("what is written is read again the same, as far as the version carries it", () => {
  const plain = {
    ...full,
    interfaces: full.interfaces.map(({ mtu: _, socketPath: _s, pciID: _p, ...rest }) => rest),
  };
  for (const version of versions) {
    const again = parseResult(written(version, full), "0.1.0");
    const wanted = atLeast(version, "1.0.0") ? full : atLeast(version, "0.3.0") ? plain : {
      interfaces: [],
      ips: full.ips.map(({ interface: _, ...ip }) => ip),
      routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }, { dst: "::/0" }],
      dns: full.dns,
    };
    assert.deepEqual(again, wanted, version);
  }
});

test("an interface's index 0 is kept apart from none", () => {
  const { ips } = parseResult(
    { ips: [{ address: "10.0.0.1/8", interface: 0 }, { address: "10.0.0.2/8" }] },
    "1.0.0",
  );
  assert.deepEqual(ips, [{ address: "10.0.0.1/8", interface: 0 }, { address: "10.0.0.2/8" }]);
});

test("keys match in any case, and addresses come out canonical", () => {
  const json = {
    CNIVersion: "1.0.0",
    IPs: [{ Address: "FD00::0003/64", Gateway: "" }],
    Routes: [{ Dst: "10.1.2.3/8", GW: "::FFFF:10.0.0.1" }],
  };
  assert.deepEqual(parseResult(json, ""), {
    ...emptyResult,
    ips: [{ address: "fd00::3/64" }],
    routes: [{ dst: "10.0.0.0/8", gw: "10.0.0.1" }],
  });
});

test("a result without a version is of the configuration's", () => {
  assert.deepEqual(parseResult({ ip4: { ip: "10.0.0.1/8" } }, "0.2.0").ips, [{ address: "10.0.0.1/8" }]);
  assert.deepEqual(parseResult({ cniVersion: "", ip4: { ip: "10.0.0.1/8" } }, "1.0.0").ips, []);
});

test("a result of another version is refused", () => {
  for (const version of ["9.9.9", "1.0", "1.0.0\n"]) {
    const refusal = { code: 1, message: `unsupported CNI result version "${version}"` };
    assert.throws(() => parseResult({ cniVersion: version }, "1.0.0"), refusal);
    assert.throws(() => resultFor(version, full), refusal);
  }
});

test("what is no address, prefix or plain word is refused", () => {
  const evil = "10.0.0.1/8\nlink del dev eth0";
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ ips: [{ address: evil }] }, `invalid CIDR address: ${evil}`],
    [{ ips: [{}] }, "invalid CIDR address: "],
    [{ ips: [{ address: "10.0.0.1/8", gateway: "-x" }] }, "invalid IP address: -x"],
    [{ routes: [{ dst: "default" }] }, "invalid CIDR address: default"],
    [{ routes: [{ dst: "::/0", gw: "a b" }] }, "invalid IP address: a b"],
    [{ dns: { search: ["a", "b c"] } }, 'Cannot use "b c" in "dns": it is not one plain word'],
    [
      { dns: { nameservers: ["1.1.1.1\noptions x"] } },
      'Cannot use "1.1.1.1\\noptions x" in "dns": it is not one plain word',
    ],
  ];
  for (const [json, message] of rows) assert.throws(() => parseResult(json, "1.0.0"), { code: 6, message });
});

test("a route's numbers have bounds", () => {
  const route = { dst: "10.0.0.0/8", mtu: 1400, advmss: 1360, priority: 7, table: 4294967295, scope: 253 };
  assert.deepEqual(parseRoute(fields(route)), route);
  for (const key of ["mtu", "advmss", "priority", "table", "scope"]) {
    for (const value of [-1, 2 ** 32, 1.5, "1"]) {
      assert.throws(
        () => parseRoute(fields({ dst: "10.0.0.0/8", [key]: value })),
        { code: 6 },
        `${key} ${value}`,
      );
    }
  }
});

test("dns is set by any key, be it to an empty list", () => {
  assert.equal(hasDns(parseDns(undefined)), false);
  assert.equal(hasDns(parseDns(fields({}))), false);
  assert.equal(hasDns(parseDns(fields({ nameservers: [] }))), true);
  assert.deepEqual(parseDns(fields({ Servers: ["x"], Domain: "a" })), { domain: "a" });
});
