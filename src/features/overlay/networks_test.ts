import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../../plan/world.ts";
import { type FakeEtcd, newEtcd } from "../../host/fake/etcd.ts";
import { claimAddresses, claimsOf, releaseAddresses } from "./claims.ts";
import { parseClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { forgetHost } from "./cluster.ts";
import { createNetwork, listNetworks, removeNetwork, type Store } from "./networks.ts";

function storeOn(etcd: Pick<FakeEtcd, "http">, endpoints = ["http://192.0.2.9:2379"]): Store {
  const config = parseClusterConfig(JSON.stringify({ endpoints, underlay: "eth0" }), "/c.json", "h1");
  return {
    etcd: connect({ http: etcd.http } as unknown as World, config),
    prefix: config.prefix,
    random: Math.random,
  };
}

async function known(store: Store, name: string) {
  const network = (await listNetworks(store)).find((one) => one.name === name)!;
  const { created } = (await store.etcd.get(`/ocinet/networks/${name}`))!;
  const { keys } = await store.etcd.list(`/ocinet/addresses/${name}/`);
  const claims = new Map<string, KeyValue>(keys.map((one) => [one.key.split("/").at(-1)!, one]));
  return { network, created, claims };
}

test("networks that hosts make at once have VNIs of their own, and give them back", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  const names = ["a", "b", "c", "d", "e"];
  const made = await Promise.all(names.map((name) => createNetwork(store, { name, subnets: [] })));
  assert.deepEqual(made.map(({ vni }) => vni).sort(), [4097, 4098, 4099, 4100, 4101]);
  assert.equal(new Set(made.flatMap(({ subnets }) => subnets)).size, 5);
  for (const name of names) await removeNetwork(store, name);
  assert.deepEqual(etcd.dump(), {});
});

test("a network is refused that has another's name, subnet, or a host's address in it", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  await createNetwork(store, { name: "a", subnets: ["10.9.0.0/24", "fd00:9::/64"] });
  // What cannot be read of other hosts is no reason to make none.
  etcd.put("/ocinet/hosts/bad", '{"version":1,"underlay":"127.0.0.1"}');
  etcd.put(
    "/ocinet/hosts/h1",
    '{"version":1,"underlay":"192.0.2.1","mtu":1500,"port":4789,"instance":"x"}',
  );
  const refused = (name: string, ...subnets: string[]) => createNetwork(store, { name, subnets });
  await assert.rejects(refused("a"), /the cluster has one of that name/);
  await assert.rejects(refused("b", "10.0.0.0/8"), /network "a" has 10\.9\.0\.0\/24/);
  await assert.rejects(
    refused("b", "192.0.2.0/24"),
    /contains 192\.0\.2\.1, which is the address of host "h1"/,
  );
  for (
    const subnet of [
      "10.9.0.0",
      "10.9.0.0/30",
      "127.0.0.0/8",
      "224.0.0.0/8",
      "x",
      "10.9.1.0/24 ",
      "fe80::/64",
      "ff02::/64",
    ]
  ) {
    await assert.rejects(refused("b", subnet), /Cannot use subnet/);
  }
  await assert.rejects(refused("b", "10.1.0.0/24", "10.2.0.0/24"), /one of each family/);
  await assert.rejects(refused("../b"), /Cannot create network/);
  await assert.rejects(
    createNetwork(store, { name: "b", mtu: 1279, subnets: ["10.1.0.0/24", "fd00:1::/64"] }),
    /Cannot create network "b" with MTU 1279: IPv6 needs 1280;/,
  );
  assert.equal((await createNetwork(store, { name: "b", mtu: 1279, subnets: ["10.1.0.0/24"] })).mtu, 1279);
});

test("networks whose records cannot be read are in no other's way; a damaged one can be removed", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  const later = '{"version":3,"vni":4097}';
  etcd.put("/ocinet/networks/later", later);
  etcd.put("/ocinet/vnis/4097", "later");
  etcd.put("/ocinet/networks/damaged", "{");
  etcd.put("/ocinet/vnis/4098", "damaged");
  assert.equal((await createNetwork(store, { name: "a", subnets: [] })).vni, 4099);
  // A VNI that is said to be of a network which has another.
  etcd.put("/ocinet/vnis/4100", "a");
  assert.equal((await createNetwork(store, { name: "b", subnets: [] })).vni, 4101);
  for (const name of ["later", "damaged"]) {
    await assert.rejects(createNetwork(store, { name, subnets: [] }), /the cluster has one of that name/);
  }
  await assert.rejects(
    removeNetwork(store, "later"),
    /^Error: Cannot remove network "later": it is of version 3, which a later ocinet wrote; update this host$/,
  );
  await removeNetwork(store, "damaged");
  await assert.rejects(removeNetwork(store, "damaged"), /the cluster has none of that name/);
  // The VNI that it had is given to the next.
  assert.equal((await createNetwork(store, { name: "c", subnets: [] })).vni, 4098);
  assert.equal(etcd.dump()["/ocinet/networks/later"], later);
});

test("keys that are no text are read page by page like others", async () => {
  const etcd = newEtcd();
  for (let i = 0; i < 2001; i++) etcd.put(`/ocinet/hosts/\xff${String(i).padStart(4, "0")}`, "");
  const { keys } = await storeOn(etcd).etcd.list("/ocinet/hosts/");
  assert.equal(keys.length, 2001);
});

test("an address is one container's alone, and the two families' are of one place", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  await createNetwork(store, { name: "a", subnets: ["10.9.0.0/29", "fd00:9::/64"] });
  // All five that a /29 has, asked for at once by hosts that do not know of each other's.
  const unaware = await known(store, "a");
  const claimed = await Promise.all(
    [1, 2, 3, 4, 5].map((i) => claimAddresses(store, unaware, { host: `h${i}`, id: "web", ifname: "eth0" })),
  );
  assert.deepEqual(
    claimed.map(({ ips }) => ips[0]!.address).sort(),
    [2, 3, 4, 5, 6].map((i) => `10.9.0.${i}/29`),
  );
  for (const { ips, mac } of claimed) {
    const place = Number(ips[0]!.address.split(/[./]/)[3]);
    assert.deepEqual(ips[1], { address: `fd00:9::${place}/64`, gateway: "fd00:9::1" });
    assert.equal(mac, `02:6f:0a:09:00:0${place}`);
  }
  await assert.rejects(
    claimAddresses(store, await known(store, "a"), { host: "h6", id: "web", ifname: "eth0" }),
    /Cannot give an address on network "a": 5 of 5 are taken in 10\.9\.0\.0\/29;/,
  );
  // The same again is the one that was given: the answer may have been lost.
  const who = { host: "h3", id: "web", ifname: "eth0" };
  assert.deepEqual(await claimAddresses(store, await known(store, "a"), who), claimed[2]);
  const now = await known(store, "a");
  assert.equal(claimsOf(now.claims, who).length, 2);
  await releaseAddresses(store, now, who);
  assert.equal(claimsOf((await known(store, "a")).claims, who).length, 0);
  await assert.rejects(
    removeNetwork(store, "a"),
    /it is used by container "web" on host "h\d" \(10\.9\.0\.\d\)/,
  );
});

test("an address that is wished for is given, or who has it is said", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  await createNetwork(store, { name: "a", subnets: ["10.9.0.0/24"] });
  const claim = async (id: string, ...wanted: string[]) =>
    await claimAddresses(store, await known(store, "a"), { host: "h1", id, ifname: "eth0" }, wanted);
  assert.equal((await claim("one", "10.9.0.77")).ips[0]!.address, "10.9.0.77/24");
  await assert.rejects(claim("two", "10.9.0.77"), /container "one" on host "h1" has it/);
  for (const address of ["10.9.0.1", "10.9.0.0", "10.9.0.255", "10.8.0.2", "127.0.0.1"]) {
    await assert.rejects(claim("two", address), /it is not for containers of 10\.9\.0\.0\/24/);
  }
});

test("what was done is told as done, whichever of etcd's answers is lost", async () => {
  const etcd = newEtcd();
  let [count, lost] = [0, 0];
  const losing = {
    http: async (request: Parameters<FakeEtcd["http"]>[0]) => {
      const answer = await etcd.http(request);
      if (++count === lost) throw new Error("read ECONNRESET");
      return answer;
    },
  };
  const all = async () => {
    const store = storeOn(losing);
    const made = await createNetwork(store, { name: "a", subnets: ["10.9.0.0/24"] });
    assert.deepEqual(await listNetworks(store), [made]);
    const who = { host: "h1", id: "web", ifname: "eth0" };
    const { ips } = await claimAddresses(store, await known(store, "a"), who, ["10.9.0.7"]);
    assert.equal(ips[0]!.address, "10.9.0.7/24");
    await releaseAddresses(store, await known(store, "a"), who);
    assert.equal((await known(store, "a")).claims.size, 0);
    await claimAddresses(store, await known(store, "a"), who);
    assert.equal(await forgetHost(store, "h1"), 1);
    const lease = await store.etcd.grant(5);
    await store.etcd.revoke(lease);
    await removeNetwork(store, "a");
    assert.deepEqual(etcd.dump(), {});
  };
  await all();
  for (const calls = count; lost <= calls; lost++) {
    count = 0;
    await all();
  }
  // Of two who want the same one, one has made it.
  const wish = { name: "a", subnets: ["10.9.0.0/24"] };
  const made = await Promise.allSettled([1, 2].map(() => createNetwork(storeOn(etcd), wish)));
  assert.deepEqual(made.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
});

test("a network that was made anew is not the one that was", async () => {
  const etcd = newEtcd();
  const store = storeOn(etcd);
  await createNetwork(store, { name: "a", subnets: [] });
  const old = await known(store, "a");
  await removeNetwork(store, "a");
  await createNetwork(store, { name: "a", subnets: [] });
  await assert.rejects(
    claimAddresses(store, old, { host: "h1", id: "web", ifname: "eth0" }),
    /has just been removed/,
  );
});

test("the next endpoint is asked when one does not answer, and errors say what to do", async () => {
  const etcd = newEtcd();
  const asked: string[] = [];
  const world = {
    http: (request: Parameters<FakeEtcd["http"]>[0]) => {
      asked.push(new URL(request.url).host);
      return request.url.includes("one")
        ? Promise.reject(new Error("connection refused"))
        : etcd.http(request);
    },
  } as unknown as World;
  const config = parseClusterConfig(
    '{"endpoints":["http://one:1","http://two:2"],"underlay":"eth0"}',
    "/c.json",
    "h1",
  );
  const client = connect(world, config);
  assert.equal(await client.get("/ocinet/x"), undefined);
  assert.equal(await client.get("/ocinet/x"), undefined);
  assert.deepEqual(asked, ["one:1", "two:2", "two:2"]);
  etcd.fail({ status: 429, message: "etcdserver: mvcc: database space exceeded" });
  await assert.rejects(client.grant(5), /it is full \(NOSPACE\)/);
  etcd.fail({ status: 403, message: "etcdserver: permission denied" });
  await assert.rejects(client.grant(5), /give the user rights on \/ocinet\//);
  etcd.fail({ status: 412, message: "etcdserver: authentication is not enabled" });
  await assert.rejects(client.grant(5), /take "user" and "passwordFile" out of \/c\.json$/);
  etcd.fail("unreachable");
  await assert.rejects(
    client.grant(5),
    /Cannot reach etcd: http:\/\/two:2: connection refused; http:\/\/one:1/,
  );
});

test("a token that has expired is replaced once, a wrong password is not tried again and again, and files are read anew", async () => {
  const etcd = newEtcd();
  const [first, second] = ["-----BEGIN first", "-----BEGIN second"];
  const files = new Map([["/password", "right\n"], ["/ca", first]]);
  const [asked, seen] = [[] as string[], [] as (string | undefined)[]];
  let [token, tokens] = ["", 0];
  const refused = (status: number, message: string) =>
    Promise.resolve({ status, body: JSON.stringify({ error: message, message, code: 16 }) });
  const world = {
    read: (path: string) => files.get(path),
    stat: () => ({ mode: 0o600 }),
    http: (request: Parameters<FakeEtcd["http"]>[0]) => {
      asked.push(new URL(request.url).pathname.split("/").at(-1)!);
      seen.push(request.tls?.ca);
      if (!request.url.endsWith("/authenticate")) {
        const isIn = token !== "" && request.headers?.["authorization"] === token;
        return isIn ? etcd.http(request) : refused(401, "etcdserver: invalid auth token");
      }
      if (!request.body.includes('"right"')) {
        return refused(400, "etcdserver: authentication failed, invalid user ID or password");
      }
      token = `token${++tokens}`;
      return Promise.resolve({ status: 200, body: JSON.stringify({ token }) });
    },
  } as unknown as World;
  const settings = {
    endpoints: ["https://e:1"],
    underlay: "eth0",
    user: "u",
    passwordFile: "/password",
    ca: "/ca",
  };
  const client = connect(world, parseClusterConfig(JSON.stringify(settings), "/c.json", "h1"));
  await client.get("/a");
  token = "";
  files.set("/ca", second);
  await client.get("/a");
  assert.deepEqual(asked, ["authenticate", "range", "range", "authenticate", "range"]);
  assert.deepEqual([seen[0], seen.at(-1)], [first, second]);
  token = "";
  files.set("/password", "wrong\n");
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      client.get("/a"),
      /^Error: Cannot use etcd as u: .*authentication failed.*; put the user's password into \/password, or/,
    );
  }
  assert.deepEqual(asked.slice(5), ["range", "authenticate"]);
  files.set("/ca", "");
  const other = connect(world, parseClusterConfig(JSON.stringify(settings), "/c.json", "h1"));
  await assert.rejects(other.get("/a"), /^Error: Cannot use \/ca: it is no PEM file$/);
});
