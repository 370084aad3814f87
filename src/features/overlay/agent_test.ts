import assert from "node:assert/strict";
import { test } from "node:test";
import type { Output, World } from "../../plan/world.ts";
import { newEtcd } from "../../host/fake/etcd.ts";
import { type Agent, livingHosts, report } from "./agent_state.ts";
import { parseClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import { beat, enterAgain } from "./host_lease.ts";
import { leaveCluster } from "./leave_cluster.ts";
import { mirror } from "./mirror.ts";

const config = parseClusterConfig(
  '{"endpoints":["http://192.0.2.9:2379"],"underlay":"eth0"}',
  "/c.json",
  "h1",
);

/** What the agent asks of a host whose link has an address. */
function hostWorld(etcd: ReturnType<typeof newEtcd>, address: string, boot = "boot1"): World {
  const shown = [{ ifname: "eth0", mtu: 1500, addr_info: [{ local: address, scope: "global" }] }];
  return {
    http: etcd.http,
    run: (): Promise<Output> => Promise.resolve({ code: 0, stdout: JSON.stringify(shown), stderr: "" }),
    read: (path: string) => path.endsWith("boot_id") ? `${boot}\n` : undefined,
    stat: () => ({ identity: "4:4026531840" }),
    readLink: () => "net:[4026531840]",
  } as unknown as World;
}

/** Waits for something that happens without a process or a clock. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 5000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(condition());
}

function agentOn(world: World, name = "h1"): Agent & { readonly said: string[] } {
  const etcd = connect(world, config);
  const said: string[] = [];
  return {
    ...{
      world,
      state: "/s",
      config: { ...config, name },
      store: { etcd, prefix: config.prefix, random: Math.random },
      said,
    },
    ...{
      hosts: mirror({ etcd, random: Math.random }, "/ocinet/hosts/", () => {}),
      networks: mirror({ etcd, random: Math.random }, "/ocinet/networks/", () => {}),
      services: mirror({ etcd, random: Math.random }, "/ocinet/services/", () => {}),
    },
    ...{
      joined: new Map(),
      problems: new Map(),
      wake: () => {},
      end: () => {},
      published: new Map(),
      tell: (line) => void said.push(line),
    },
  };
}

function stop(...agents: readonly Agent[]): void {
  for (const { hosts, networks, services } of agents) {
    [hosts, networks, services].forEach((one) => one.stop());
  }
}

test("a host is in the cluster as long as its lease, and enters it again when that is lost", async () => {
  const etcd = newEtcd();
  const agent = agentOn(hostWorld(etcd, "192.0.2.1"));
  await beat(agent);
  const record = etcd.dump()["/ocinet/hosts/h1"];
  assert.match(record!, /"underlay":"192\.0\.2\.1","mtu":1500,"port":4789/);
  // Renewing writes nothing.
  const before = etcd.calls.filter((path) => path === "/v3/kv/txn").length;
  await beat(agent);
  assert.equal(etcd.calls.filter((path) => path === "/v3/kv/txn").length, before);
  etcd.expire(agent.lease!);
  assert.deepEqual(etcd.dump(), {});
  await beat(agent);
  assert.equal(etcd.dump()["/ocinet/hosts/h1"], record);
  // It does not wait for that until it has to be renewed.
  await until(() => agent.hosts.entries.has("h1"));
  const asked = etcd.calls.length;
  await enterAgain(agent);
  assert.equal(etcd.calls.length, asked);
  etcd.expire(agent.lease!);
  await until(() => !agent.hosts.entries.has("h1"));
  await enterAgain(agent);
  assert.equal(etcd.dump()["/ocinet/hosts/h1"], record);
  // An agent that comes after it, on the same machine or after a restart of it, takes over.
  const next = agentOn(hostWorld(etcd, "192.0.2.1", "boot2"));
  await beat(next);
  assert.deepEqual([...next.problems], []);
  assert.match(etcd.dump()["/ocinet/hosts/h1"]!, /boot2/);
  stop(agent, next);
});

test("a second host of a name, or with another port, is refused with the remedy", async () => {
  const etcd = newEtcd();
  const [agent, twin] = [
    agentOn(hostWorld(etcd, "192.0.2.1")),
    agentOn(hostWorld(etcd, "192.0.2.2", "boot2")),
  ];
  await beat(agent);
  await beat(twin);
  assert.match(
    twin.problems.get("cluster")!,
    /as "h1": a host at 192\.0\.2\.1 has that name; give this one another/,
  );
  const other = agentOn(hostWorld(etcd, "192.0.2.3"), "h3");
  // A record that cannot be read is no host's.
  etcd.put("/ocinet/hosts/h1", "{");
  await until(() => agent.hosts.entries.get("h1")?.value === "{");
  await beat(agent);
  assert.equal(livingHosts(agent).size, 1);
  assert.equal(agent.problems.size, 0);
  // Nor is one that is no text.
  etcd.put("/ocinet/hosts/h1", "\xff");
  await until(() => agent.hosts.entries.get("h1")?.value === "\ufffd");
  await beat(agent);
  assert.match(etcd.dump()["/ocinet/hosts/h1"]!, /192\.0\.2\.1/);
  // But a later ocinet may read it.
  const later = '{"version":3}';
  etcd.put("/ocinet/hosts/h1", later);
  await until(() => agent.hosts.entries.get("h1")?.value === later);
  await beat(agent);
  assert.match(
    agent.problems.get("cluster")!,
    /as "h1": there is a record .* of version 3, which a later ocinet wrote; update this host, or give it another "name" in \/c\.json$/,
  );
  assert.equal(etcd.dump()["/ocinet/hosts/h1"], later);
  etcd.delete("/ocinet/hosts/h1");
  await until(() => agent.hosts.entries.size === 0);
  await beat(agent);
  assert.equal(agent.problems.get("cluster"), undefined);
  Object.assign(other.config, { port: 8472 });
  await until(() => other.hosts.entries.size === 1);
  await beat(other);
  assert.match(other.problems.get("cluster")!, /with UDP port 8472: host "h1" uses 4789/);
  stop(agent, twin, other);
});

test("what is wrong is said once, and that it is in order again", async () => {
  const etcd = newEtcd();
  const agent = agentOn(hostWorld(etcd, "192.0.2.1"));
  etcd.fail("unreachable");
  for (let i = 0; i < 3; i++) await beat(agent);
  assert.equal(agent.said.length, 1);
  assert.match(agent.said[0]!, /Cannot reach etcd: http:\/\/192\.0\.2\.9:2379: connection refused/);
  // What else suffers from it says nothing new.
  report(agent, "network shop", `network "shop": ${agent.problems.get("cluster")}`);
  report(agent, "network shop", undefined);
  assert.equal(agent.said.length, 1);
  etcd.fail(undefined);
  // For a moment no endpoint is asked again.
  for (let i = 0; i < 500 && agent.problems.size > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    await beat(agent);
  }
  assert.match(agent.said.at(-1)!, /in order again/);
  stop(agent);
});

test("a host that leaves does so only when etcd can be told, and does not come back", async () => {
  const etcd = newEtcd();
  const machine = { ...hostWorld(etcd, "192.0.2.1"), list: () => [], remove: () => {} };
  const agent = agentOn(machine as World);
  await beat(agent);
  etcd.fail("unreachable");
  await assert.rejects(leaveCluster(agent, true), /Cannot reach etcd/);
  assert.equal(agent.hasLeft, undefined);
  etcd.fail(undefined);
  // For a moment no endpoint is asked again.
  for (let i = 0; i < 500 && !agent.hasLeft; i++) {
    await leaveCluster(agent, false).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual([etcd.dump(), etcd.leases], [{}, []]);
  await beat(agent);
  assert.deepEqual(etcd.dump(), {});
  stop(agent);
});

test("a host that could not leave to the end is still in the cluster", async () => {
  const etcd = newEtcd();
  const machine = { ...hostWorld(etcd, "192.0.2.1"), list: () => [], remove: () => {} };
  const agent = agentOn(
    {
      ...machine,
      http: (request: Parameters<World["http"]>[0]) =>
        request.url.endsWith("/revoke") ? Promise.reject(new Error("no answer")) : etcd.http(request),
    } as World,
  );
  await beat(agent);
  await assert.rejects(leaveCluster(agent, true), /no answer/);
  etcd.expire(agent.lease!);
  for (let i = 0; i < 500 && (agent.problems.size > 0 || etcd.leases.length === 0); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    await beat(agent);
  }
  assert.match(etcd.dump()["/ocinet/hosts/h1"]!, /192\.0\.2\.1/);
  stop(agent);
});

test("a mirror follows changes, stays as it was while no endpoint answers, and reads all again afterwards", async () => {
  const etcd = newEtcd();
  etcd.put("/ocinet/a/1", "one");
  etcd.put("/ocinet/ab/2", "not of it");
  const seen = mirror(
    { etcd: connect(hostWorld(etcd, "192.0.2.1"), config), random: Math.random },
    "/ocinet/a/",
    () => {},
  );
  const values = () => [...seen.entries].map(([key, { value }]) => `${key}=${value}`).sort().join(" ");
  await until(() => values() === "1=one");
  etcd.put("/ocinet/a/2", "two");
  await until(() => values() === "1=one 2=two");
  etcd.fail("unreachable");
  await until(() => seen.problem !== undefined);
  assert.equal(values(), "1=one 2=two");
  etcd.fail(undefined);
  etcd.put("/ocinet/a/3", "three");
  await until(() => values() === "1=one 2=two 3=three");
  etcd.wipe();
  etcd.put("/ocinet/a/4", "four");
  await until(() => values() === "4=four");
  seen.stop();
});

test("what etcd loses by its revision is held until it is put back, or for a while", async () => {
  const etcd = newEtcd();
  for (const key of ["1", "2", "3"]) etcd.put(`/ocinet/a/${key}`, key);
  const seen = mirror(
    { etcd: connect(hostWorld(etcd, "192.0.2.1"), config), random: Math.random },
    "/ocinet/a/",
    () => {},
    400,
  );
  const keys = (of: ReadonlyMap<string, unknown>) => [...of.keys()].sort().join(" ");
  await until(() => keys(seen.entries) === "1 2 3");
  // That is no loss: its revision goes on.
  etcd.cut();
  etcd.delete("/ocinet/a/3");
  await until(() => keys(seen.held) === "1 2");
  etcd.wipe();
  await until(() => keys(seen.entries) === "");
  assert.equal(keys(seen.held), "1 2");
  etcd.put("/ocinet/a/1", "again");
  await until(() => keys(seen.entries) === "1");
  assert.equal(keys(seen.held), "1 2");
  assert.equal(seen.held.get("1")!.value, "again");
  // As when its lease was restored, too, and ends.
  etcd.delete("/ocinet/a/1");
  await until(() => keys(seen.entries) === "");
  assert.equal(keys(seen.held), "1 2");
  etcd.put("/ocinet/a/1", "again");
  await until(() => keys(seen.held) === "1");
  seen.stop();
});

test("while no endpoint answers one call alone finds out, and the others are told at once", async () => {
  const etcd = newEtcd();
  let answer = () => {};
  const silent = new Promise<void>((resolve) => answer = resolve);
  let isSilent = false;
  const world = {
    ...hostWorld(etcd, "192.0.2.1"),
    http: async (request: Parameters<World["http"]>[0]) => {
      if (isSilent) await silent;
      return await etcd.http(request);
    },
  };
  const client = connect(world, config);
  const refusal = () => client.get("/a").then(() => "none", ({ message }: Error) => message);
  etcd.fail("unreachable");
  assert.match(await refusal(), /connection refused/);
  const asked = etcd.calls.length;
  assert.match(await refusal(), /connection refused/);
  assert.equal(etcd.calls.length, asked);
  // Once that is over, the first that asks waits, and no other.
  isSilent = true;
  etcd.fail(undefined);
  let first: Promise<unknown> | undefined;
  for (let i = 0; i < 500 && first === undefined; i++) {
    const tried = client.get("/a");
    const pause = new Promise((resolve) => setTimeout(resolve, 10, "waits"));
    if (await Promise.race([tried.catch(() => {}), pause]) === "waits") first = tried;
    await pause;
  }
  assert.match(await refusal(), /connection refused/);
  answer();
  assert.equal(await first, undefined);
  assert.equal(await client.get("/a"), undefined);
});
