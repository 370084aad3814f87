import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { claimValue } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { writeRecord } from "./keys.ts";
import { localNames, remoteNames } from "./member_names.ts";

const entry = (value: string): KeyValue => ({ key: "", value, created: "1", modified: "1" });
const claimed = (host: string, id: string, ...addresses: readonly string[]) =>
  addresses.map((address) =>
    [address, entry(claimValue({ host, id, ifname: "eth0" }, [addresses[0]!]))] as const
  );
const claims = new Map([
  ...claimed("h1", "own", "10.9.0.2"),
  ...claimed("h2", "web", "10.9.0.3", "fd00:9::3"),
  ...claimed("h3", "db", "10.9.0.4"),
]);
const told = (addresses: readonly string[], ...names: readonly string[]) =>
  entry(writeRecord({ addresses, names }));
const remote = (...all: readonly (readonly [string, KeyValue])[]) => remoteNames(new Map(all), claims, "h1");

test("this host's names are told by container, without those of other hosts", () => {
  const { world } = newFake();
  world.makeDirectory("/s/names/shop");
  world.write("/s/names/shop/web eth0", "10.9.0.3 web www\nfd00:9::3 web www");
  world.write("/s/names/shop/~ hosts", "10.9.0.9 other");
  assert.deepEqual([...localNames(world, "/s", "shop", "h2")], [
    ["h2/web/eth0", { addresses: ["10.9.0.3", "fd00:9::3"], names: ["web", "www"] }],
  ]);
  // While it is drained, the service's name does not lead to it.
  world.makeDirectory("/s/drained/shop");
  world.write("/s/drained/shop/web eth0", "www");
  assert.deepEqual([...localNames(world, "/s", "shop", "h2").values()].map(({ names }) => names), [["web"]]);
});

test("names of other hosts' containers are lines, whatever their order in etcd", () => {
  const { lines, problems } = remote(
    ["h3/db/eth0", told(["10.9.0.4"], "db")],
    ["h1/own/eth0", told(["10.9.0.2"], "own")],
    ["h2/web/eth0", told(["10.9.0.3", "fd00:9::3"], "web", "www")],
  );
  assert.deepEqual(lines, ["10.9.0.3 web www", "fd00:9::3 web www", "10.9.0.4 db"]);
  assert.deepEqual(problems, []);
});

test("a hosts file has so many names of other hosts and no more", () => {
  const place = (i: number) => `10.9.${1 + (i >> 8)}.${i & 255}`;
  const all = Array.from({ length: 5010 }, (_, i) => i);
  const claims = new Map(all.flatMap((i) => claimed("h2", `c${i}`, place(i))));
  const { lines, problems } = remoteNames(
    new Map(all.map((i) => [`h2/c${i}/eth0`, told([place(i)], `c${i}`)])),
    claims,
    "h1",
  );
  assert.equal(lines.length, 5000);
  assert.match(problems[0]!, /^Cannot tell 10 lines of names/);
});

test("names that another host's container, no container, or a hostile host has are not written down", () => {
  // The address is another host's, another container's, or no container's; a name could end the line, or be the host itself.
  const { lines } = remote(
    ["h3/web/eth0", told(["10.9.0.3"], "thief")],
    ["h2/web2/eth0", told(["10.9.0.3"], "thief")],
    ["h2/web/eth1", told(["10.9.0.3"], "thief")],
    ["h2/web/eth0", told(["10.9.0.9", "010.9.0.3", "10.9.0.3\n1.1.1.1"], "thief")],
    ["h3/db/eth0", told(["10.9.0.4"], "a b", "c\n1.1.1.1 bank", "localhost", "..", "#x", "x".repeat(300))],
  );
  assert.deepEqual(lines, []);
  for (
    const [key, value] of [
      ["h2/web", told(["10.9.0.3"], "x")],
      ["h2/web/eth0/more", told(["10.9.0.3"], "x")],
      ["h2/../eth0", told(["10.9.0.3"], "x")],
      ["h2/web/e h", told(["10.9.0.3"], "x")],
      ["h2/web/eth0", entry("no JSON")],
      ["h2/web/eth0", entry("[]")],
      ["h2/web/eth0", entry('{"version":99,"addresses":[],"names":[]}')],
      ["h2/web/eth0", entry('{"version":1,"addresses":"10.9.0.3","names":[]}')],
    ] as const
  ) {
    const { lines, problems } = remote([key, value]);
    assert.deepEqual([lines.length, problems.length], [0, 1], key);
  }
});
