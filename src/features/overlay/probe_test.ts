import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { newEtcd } from "../../host/fake/etcd.ts";
import { newRecord, type PluginRecord, writeRecord } from "../../engine/record.ts";
import { stateDirectory } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";
import { clusterStatus } from "./cluster.ts";
import { parseClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import { parseHost } from "./keys.ts";
import { overlayKey } from "./local_records.ts";
import { probeWays } from "./probe.ts";

const config = parseClusterConfig(
  '{"endpoints":["http://192.0.2.9:2379"],"underlay":"eth0"}',
  "/c.json",
  "h1",
);
const key = `${"A".repeat(42)}A=`;
const host = (name: string, i: number) => ({
  name,
  ...parseHost(
    name,
    JSON.stringify({
      version: 1,
      underlay: `192.0.2.${i}`,
      mtu: 1500,
      port: 4789,
      instance: "i",
      tunnel: { key, port: 9 },
    }),
  ),
});
const place = (host: string, address: string, encrypted = false) => ({
  network: "shop",
  host,
  address,
  encrypted,
});

/** @param passes bytes that come back, by address */
function worldWith(passes: Readonly<Record<string, number>>): World {
  const { world } = newFake();
  world.write("/usr/sbin/ping", "", 0o755);
  writeRecord(
    world,
    stateDirectory(world),
    newRecord<PluginRecord>(world, {
      ...{ ...overlayKey("shop"), container: { netns: "", identity: "" }, steps: [] },
      request: { type: "overlay", mtu: 1450 },
    }),
  );
  return {
    ...world,
    run: (argv) => {
      if (argv[0] === "wg") return Promise.resolve({ code: 0, stdout: `${key}\t0\n`, stderr: "" });
      const size = Number(argv[argv.indexOf("-s") + 1]);
      return Promise.resolve({ code: size <= (passes[argv.at(-1)!] ?? -1) ? 0 : 1, stdout: "", stderr: "" });
    },
  };
}

test("ways to other hosts are tried with small packets and with large ones, and what to do is said", async () => {
  const hosts = [host("h1", 1), host("h2", 2), host("h3", 3), host("h4", 4)];
  const places = [
    place("h1", "10.9.0.2"),
    place("h2", "10.9.0.3"),
    place("h3", "fd00::3"),
    place("gone", "10.9.0.9"),
  ];
  const whole = await probeWays(worldWith({ "10.9.0.3": 1422, "fd00::3": 1402 }), config, places, hosts);
  assert.deepEqual(whole, []);
  const [lost, small, encrypted] = await probeWays(
    worldWith({ "fd00::3": 1401 }),
    config,
    [...places, place("h4", "10.9.0.4", true)],
    hosts,
  );
  assert.match(
    lost!,
    /^nothing comes back from host "h2" at 192\.0\.2\.2 on network "shop": let UDP port 4789 in/,
  );
  assert.match(small!, /^packets of 1450 bytes do not come back from host "h3" at 192\.0\.2\.3/);
  assert.match(encrypted!, /WireGuard has had no answer from it; let UDP port 51871 in here, and 9 there$/);
});

test("of a member of etcd its clock, its leader and its alarms are told", async () => {
  const etcd = newEtcd();
  const world = (body: object, date: number) =>
    ({
      now: Date.now,
      http: async (request: Parameters<World["http"]>[0]) => {
        const answer = await etcd.http(request);
        const merged = JSON.stringify({ ...JSON.parse(answer.body), ...body });
        return { ...answer, body: merged, date: new Date(date).toUTCString() };
      },
    }) as unknown as World;
  const [late] = await connect(world({}, Date.now() - 3_600_000), config).status();
  assert.equal(late!.problem, undefined);
  assert.ok(Math.abs(late!.ahead! + 3600) <= 2);
  const [full] = await connect(world({ errors: ["alarm:NOSPACE"] }, Date.now()), config).status();
  assert.equal(full!.problem, "alarm:NOSPACE");
  const [alone] = await connect(world({ leader: "0" }, Date.now()), config).status();
  assert.equal(alone!.problem, "it knows no leader");
});

test("who may not write sees the cluster all the same; nothing is asked after another question", async () => {
  const etcd = newEtcd();
  const { name, ...record } = host("h2", 2);
  etcd.put(`/ocinet/hosts/${name}`, JSON.stringify({ version: 1, ...record }));
  const { world: base, place } = newFake();
  place("/etc/ocinet/cluster.json", '{"endpoints":["http://192.0.2.9:2379"],"underlay":"eth0","name":"h1"}');
  const asked = new Set<string>();
  let answer = () => {};
  const both = new Promise<void>((resolve) => answer = resolve);
  const world: World = {
    ...base,
    request: () => Promise.reject(new Error("there is no agent")),
    http: async (request) => {
      const path = new URL(request.url).pathname;
      asked.add(path);
      if (asked.size === 2) answer();
      await both;
      const message = "etcdserver: mvcc: database space exceeded";
      return path.endsWith("/txn")
        ? { status: 429, body: JSON.stringify({ message }) }
        : await etcd.http(request);
    },
  };
  const { hosts, problems } = await clusterStatus(world);
  assert.deepEqual(hosts.map((one) => one.name), ["h2"]);
  assert.match(problems.join("\n"), /it is full \(NOSPACE\).*\n.*Cannot ask the agent of this host: /);
});
