import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { newEtcd } from "../../host/fake/etcd.ts";
import {
  type ContainerRecord,
  newRecord,
  type PluginRecord,
  writeRecord as writeFile,
} from "../../engine/record.ts";
import type { Output, World } from "../../plan/world.ts";
import { type Agent, type Joined, keysOf, lingerOf } from "./agent_state.ts";
import { claimValue } from "./claims.ts";
import { parseClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import { noteEnded } from "./ended.ts";
import { followMesh } from "./follow_mesh.ts";
import { parseNetwork, writeRecord } from "./keys.ts";
import { mendPeers } from "./mend.ts";
import { followNames } from "./member_names.ts";
import { mirror } from "./mirror.ts";
import { overlayKey } from "./local_records.ts";
import { putBack } from "./put_back.ts";
import { publishMembers } from "./services.ts";

const config = parseClusterConfig(
  '{"endpoints":["http://192.0.2.9:2379"],"underlay":"eth0","leaseSeconds":2}',
  "/c.json",
  "h1",
);
const network = parseNetwork(
  "shop",
  '{"version":1,"vni":4097,"subnets":["10.9.0.0/24","fd00:9::/64"],"multicast":true}',
);
const hosts = ["h1", "h2", "h3", "h4"];

/** Its entries in a VXLAN link's table say where multicast and broadcast go. */
const anyMac = "00:00:00:00:00:00";

/** The tables of a kernel, as far as lines of `bridge`, `ip` and `nft` change them. */
class Tables {
  readonly all = new Map<string, string>();
  rules = "";

  run(argv: readonly string[], stdin = ""): Output {
    const said = (stdout: string, code = 0): Output => ({ code, stdout, stderr: "" });
    const [tool, ...words] = argv;
    if (tool === "conntrack") return said("");
    if (tool === "nft" && words[1] === "list") return this.list(words[4]!);
    if (tool === "nft" && words[0] === "list") return said("", this.rules === "" ? 1 : 0);
    if (words[0] === "-json") return said(JSON.stringify(this.show(words[1]!)));
    if (tool === "nft") this.nft(stdin);
    else stdin.split("\n").filter((line) => line !== "").forEach((line) => this.line(`${words[0]} ${line}`));
    return said("");
  }

  /** Of the table with the ports' rules each has a handle; of the other there is only the set. */
  private list(table: string): Output {
    if (table === "ocinet_mesh") {
      const rows = this.rules.split("\n").filter((line) => /^add (chain|rule)/.test(line));
      return {
        code: this.rules === "" ? 1 : 0,
        stdout: ["table", ...rows].map(() => "# handle 1\n").join(""),
        stderr: "",
      };
    }
    const peers = [...this.all.keys()].filter((one) => one.startsWith("peer ")).map((one) => one.slice(5));
    return { code: 0, stdout: `# handle 1 elements = { ${peers.join(", ")} }`, stderr: "" };
  }

  private show(what: string): readonly object[] {
    return [...this.all].flatMap(([key, value]): readonly object[] => {
      const [kind, name] = key.split(" ");
      if (what === "neigh") return kind === "neigh" ? [{ dst: name, lladdr: value }] : [];
      if (kind === "flood") return [{ mac: anyMac, dst: name }];
      if (kind === "vtep") return [{ mac: name, dst: value }];
      return kind === "master" ? [{ mac: name, flags: ["sticky"], state: "static" }] : [];
    });
  }

  private nft(text: string): void {
    if (!/^(add|delete) element/.test(text)) this.rules = text.includes("chain") ? text : "";
    for (const [, verb, address] of text.matchAll(/^(add|delete) element inet \S+ peers \{ (\S+) \}/gm)) {
      if (verb === "add") this.all.set(`peer ${address}`, "");
      else this.all.delete(`peer ${address}`);
    }
  }

  /** A line, behind the first word of the call: "-4" or "-6" tells the family of routes. */
  private line(text: string): void {
    const [first, object, verb, ...rest] = text.split(" ");
    const word = (name: string) => rest[rest.indexOf(name) + 1]!;
    const put = (key: string, value: string) =>
      void (verb === "del" ? this.all.delete(key) : this.all.set(key, value));
    switch (object) {
      case "fdb":
        if (rest[0] === anyMac) return put(`flood ${word("dst")}`, "");
        return put(
          `${rest.includes("master") ? "master" : "vtep"} ${rest[0]}`,
          rest.includes("dst") ? word("dst") : "",
        );
      case "neigh":
        return put(`neigh ${rest[0]}`, word("lladdr"));
      case "rule":
        // The leftovers of an agent before this one name no link.
        for (const key of [...this.all.keys()]) {
          const isIt = key.startsWith(`${first} rule ${rest[1]} `) &&
            key.endsWith(` lookup ${word("lookup")} protocol kernel`);
          if (verb === "del" && isIt) this.all.delete(key);
        }
        return verb === "add" ? put(`${first} rule ${rest.slice(1).join(" ")}`, "") : undefined;
      case "route":
        if (verb !== "flush") {
          return put(`${first} route ${rest[0]} ${word("table")}`, rest.slice(1).join(" "));
        }
        [...this.all.keys()].filter((key) =>
          key.startsWith(`${first} route`) && key.endsWith(` ${word("table")}`)
        )
          .forEach((key) => this.all.delete(key));
        return;
      default:
        assert.fail(`no line of ours: ${text}`);
    }
  }

  dump(): readonly string[] {
    return [...[...this.all].map((one) => one.join(" = ")).sort(), ...this.rules.split("\n")];
  }
}

interface Machine {
  readonly agent: Agent;
  readonly joined: Joined;
  readonly tables: Tables;
  readonly world: World;
}

/** A host with an agent that follows the store, and nothing else. @param marks what an agent before it gave the hosts */
function newMachine(etcd: ReturnType<typeof newEtcd>, marks?: string): Machine {
  const [tables, { world: base, place }] = [new Tables(), newFake()];
  place("/s/names/.made", "");
  if (marks !== undefined) place("/s/mesh.json", marks);
  const world: World = {
    ...base,
    http: etcd.http,
    run: (argv, options) => Promise.resolve(tables.run(argv, options?.stdin)),
    read: (path) =>
      path.startsWith("/proc/sys/") ? path.endsWith("rp_filter") ? "2\n" : "1\n" : base.read(path),
  };
  const store = { etcd: connect(world, config), prefix: config.prefix, random: Math.random };
  const [keys, linger, changed] = [keysOf({ config }), lingerOf(config) / 50, () => {}];
  const follow = (prefix: string) => mirror(store, prefix, changed, linger);
  const joined: Joined = {
    ...{ network, created: "1", digest: "0".repeat(64), keptUntil: 0, published: new Map() },
    ...{ claims: follow(keys.addresses("shop")), names: follow(keys.names("shop")) },
  };
  const agent: Agent = {
    ...{ world, state: "/s", config, store, tell: () => {}, wake: () => {}, end: () => {} },
    ...{ hosts: follow(keys.hosts), networks: follow(keys.networks), services: follow(keys.services) },
    ...{ joined: new Map([["shop", joined]]), problems: new Map(), published: new Map() },
  };
  return { agent, joined, tables, world };
}

async function pass({ agent, joined }: Machine): Promise<void> {
  if (!agent.hosts.synced || !joined.claims.synced) return;
  await mendPeers(agent, joined);
  await followNames(agent, joined);
  await followMesh(agent);
}

/** What it has come to: tables, rules, names, and what is wrong. */
function stateOf({ agent, tables, world }: Machine): readonly string[] {
  const names = world.list("/s/names/shop").map((name) => `${name}: ${world.read(`/s/names/shop/${name}`)}`);
  return [...tables.dump(), ...names.sort(), ...[...agent.problems.values()].sort()];
}

function stop({ agent, joined }: Machine): void {
  [agent.hosts, agent.networks, agent.services, joined.claims, joined.names].forEach((one) => one.stop());
}

/** Passes until it knows what etcd has, and nothing changes any more. */
async function settle(machine: Machine, etcd: ReturnType<typeof newEtcd>): Promise<void> {
  const { agent, joined } = machine;
  const known = () =>
    [
      ...[...agent.hosts.held].map(([key, { value }]) => `hosts/${key} ${value}`),
      ...[...agent.services.held].map(([key, { value }]) => `services/${key} ${value}`),
      ...[...joined.claims.held].map(([key, { value }]) => `addresses/shop/${key} ${value}`),
      ...[...joined.names.held].map(([key, { value }]) => `names/shop/${key} ${value}`),
    ].sort().join("\n");
  const wanted = () =>
    Object.entries(etcd.dump()).map(([key, value]) => `${key.slice("/ocinet/".length)} ${value}`).sort().join(
      "\n",
    );
  for (let i = 0; i < 5000 && known() !== wanted(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(known(), wanted());
  delete joined.namesDue;
  await pass(machine);
}

type Random = () => number;

/** Something that happens in etcd: hosts, containers and services come, change, move and go, also such as cannot be. */
function happen(etcd: ReturnType<typeof newEtcd>, random: Random): void {
  const one = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)]!;
  const keys = keysOf({ config });
  const [host, id, n] = [one(hosts), one(["a", "b", "c"]), 3 + Math.floor(random() * 6)];
  const both = [`10.9.0.${n}`, `fd00:9::${n}`];
  const where = `${host}/${id}/eth0`;
  const acts = [
    () =>
      etcd.put(
        keys.host(host),
        writeRecord({ underlay: `192.0.2.${one([1, 2, 3])}`, mtu: 1500, port: 4789, instance: "i" }),
      ),
    () => etcd.delete(keys.host(host)),
    ...both.flatMap((address) => [
      () => etcd.put(keys.address("shop", address), claimValue({ host, id, ifname: "eth0" }, both)),
      () => etcd.put(keys.address("shop", address), claimValue({ host, id: "", ifname: "" }, both)),
      () => etcd.delete(keys.address("shop", address)),
    ]),
    () => etcd.put(keys.address("shop", both[0]!), "{"),
    () =>
      etcd.put(keys.names("shop") + where, writeRecord({ addresses: both, names: [id, one(["web", "db"])] })),
    () => etcd.delete(keys.names("shop") + where),
    () =>
      etcd.put(
        `${keys.services}shop/${where}`,
        writeRecord({
          ...{ service: one(["web", "db"]), addresses: both, affinity: random() < 0.2 },
          ports: [{
            ...{ protocol: one(["tcp", "udp"]), hostPort: one([8080, 8081]), port: 80 },
            ...(random() < 0.2 ? { on: "192.0.2.0/24" } : {}),
          }],
        }),
      ),
    () => etcd.delete(`${keys.services}shop/${where}`),
  ];
  one(acts)();
}

function randomOf(seed: number): Random {
  let state = seed;
  return () => {
    state = Math.imul(state ^ state >>> 15, state | 1) + 0x9e3779b9 | 0;
    return ((state ^ state >>> 14) >>> 0) / 2 ** 32;
  };
}

/** What one seed leads to is what a fresh start leads to. */
async function agree(seed: number): Promise<void> {
  const [etcd, random] = [newEtcd(), randomOf(seed)];
  const worn = newMachine(etcd);
  let restore = etcd.backup();
  for (let i = 0; i < 150; i++) {
    happen(etcd, random);
    const luck = random();
    if (luck < 0.02) etcd.cut();
    else if (luck < 0.04) etcd.compact();
    else if (luck < 0.05) restore = etcd.backup();
    else if (luck < 0.06) restore();
    else if (luck < 0.065) etcd.wipe();
    if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, 0));
    if (random() < 0.3) await pass(worn);
  }
  await settle(worn, etcd);
  const fresh = newMachine(etcd, worn.world.read("/s/mesh.json"));
  await settle(fresh, etcd);
  assert.deepEqual(stateOf(worn), stateOf(fresh), `seed ${seed}`);
  // Whom this host hears is whom it floods.
  const named = (kind: string) =>
    [...worn.tables.all.keys()].flatMap((key) => key.startsWith(`${kind} `) ? [key.split(" ")[1]] : []);
  assert.deepEqual(named("flood").sort(), named("peer").sort(), `seed ${seed}`);
  [worn, fresh].forEach(stop);
}

test("whatever happens, is lost, or is told late, an agent comes to what one that starts anew sees", async () => {
  const [clock, random] = [Date.now, randomOf(1)];
  // The wall clock means nothing to it: it may say anything, and another host's something else.
  Date.now = () => Math.floor(random() * 1e13);
  try {
    await Promise.all(Array.from({ length: 20 }, (_, seed) => agree(seed + 1)));
  } finally {
    Date.now = clock;
  }
});

test("what is lost or damaged in etcd of the host's own is put back, and what a later ocinet wrote is not", async () => {
  const etcd = newEtcd();
  const machine = newMachine(etcd);
  const { agent, joined, world } = machine;
  const own = ["10.9.0.5/24", "fd00:9::5/64"];
  writeFile(
    world,
    "/s",
    newRecord<PluginRecord>(world, {
      ...{ ...overlayKey("shop"), container: { netns: "", identity: "" }, steps: [] },
      request: { type: "overlay", own },
    }),
  );
  await Promise.all([agent.networks.wait(5000), joined.claims.wait(5000)]);
  const isSeen = () =>
    Object.entries(etcd.dump()).every(([key, value]) => {
      const name = key.split("/").at(-1)!;
      const there = key.includes("/vnis/")
        ? value
        : (joined.claims.entries.get(name) ?? agent.networks.entries.get(name))?.value;
      return there === value.replace("\xff", "\ufffd");
    });
  const put = async () => {
    for (let i = 0; i < 5000 && !isSeen(); i++) await new Promise((resolve) => setTimeout(resolve, 1));
    await putBack(agent, joined);
    return etcd.dump();
  };
  const whole = await put();
  assert.equal(Object.keys(whole).length, 4);
  const claim = claimValue({ host: "h1", id: "", ifname: "" }, ["10.9.0.5"]);
  assert.equal(whole["/ocinet/addresses/shop/fd00:9::5"], claim);
  etcd.put("/ocinet/addresses/shop/10.9.0.5", "{");
  etcd.put("/ocinet/addresses/shop/fd00:9::5", "\xff");
  etcd.put("/ocinet/networks/shop", "[]");
  assert.deepEqual(await put(), whole);
  etcd.put("/ocinet/networks/shop", "[]");
  assert.deepEqual(await put(), whole);
  const later = '{"version":3}';
  etcd.put("/ocinet/addresses/shop/10.9.0.5", later);
  etcd.put("/ocinet/networks/shop", later);
  assert.deepEqual(await put(), {
    ...whole,
    "/ocinet/addresses/shop/10.9.0.5": later,
    "/ocinet/networks/shop": later,
  });
  stop(machine);
});

test("a port that a program has by either family is left to it, and rules that are gone are made again", async () => {
  for (const taken of ["0.0.0.0", "::", "none"]) {
    const etcd = newEtcd();
    const machine = newMachine(etcd);
    const { agent, tables, world } = machine;
    Object.assign(world, { canListen: (address: string) => Promise.resolve(address !== taken) });
    const keys = keysOf({ config });
    const both = ["10.9.0.5", "fd00:9::5"];
    const ports = [{ protocol: "tcp", hostPort: 8080, port: 80 }];
    for (const id of ["", "a"]) {
      const ifname = id && "eth0";
      both.forEach((one, i) => {
        const address = id ? one : ["10.9.0.2", "fd00:9::2"][i]!;
        etcd.put(keys.address("shop", address), claimValue({ host: "h1", id, ifname }, [address]));
      });
    }
    etcd.put(
      `${keys.services}shop/h1/a/eth0`,
      writeRecord({ service: "web", addresses: both, affinity: false, ports }),
    );
    await settle(machine, etcd);
    const isLed = /tcp dport 8080 goto/.test(tables.rules);
    assert.equal(isLed, taken === "none");
    assert.equal(/program .* has the port/.test(agent.problems.get("port 8080") ?? ""), !isLed);
    const before = tables.rules;
    tables.rules = before.replace(/^add rule .*\n/m, "");
    Object.assign(agent.mesh!, { looked: -Infinity });
    await followMesh(agent);
    assert.equal(tables.rules, before);
    stop(machine);
  }
});

test("of a container that ended without a word no names are told, nor that it is a member, until it runs again", async () => {
  const etcd = newEtcd();
  const machine = newMachine(etcd);
  const { agent, world } = machine;
  agent.lease = "1";
  await settle(machine, etcd);
  const told = async () => {
    await noteEnded(agent);
    await pass(machine);
    await publishMembers(agent);
    return Object.keys(etcd.dump()).sort();
  };
  const shop = { network: "shop", ifname: "eth0" };
  const container = { netns: "/proc/77/ns/net", identity: "4:1", init: { pid: 77, startTime: "1" } };
  for (const id of ["a", "b"]) {
    world.makeDirectory("/s/names/shop");
    world.makeDirectory("/s/services/shop");
    world.makeDirectory(`/s/containers/${id}`);
    world.write(`/s/names/shop/${id} eth0`, `10.9.0.4 ${id} web`);
    world.write(`/s/services/shop/${id} eth0`, '{"service":"web","addresses":["10.9.0.4"],"ports":[]}');
  }
  const keys = ["names/shop/h1/a", "names/shop/h1/b", "services/shop/h1/a", "services/shop/h1/b"].map((key) =>
    `/ocinet/${key}/eth0`
  );
  assert.deepEqual(await told(), keys);
  world.write("/s/containers/a/hosts", "");
  const record = {
    ...shop,
    id: "b",
    part: "container" as const,
    created: "",
    phase: "done" as const,
    attachments: [],
    ports: [],
    steps: [],
    container,
  };
  writeFile(world, "/s", newRecord<ContainerRecord>(world, { ...record, network: "", ifname: "" }));
  assert.deepEqual(await told(), keys.filter((key) => key.includes("/a/")));
  assert.match(world.read("/s/containers/a/hosts")!, /a web\n# ocinet: end/);
  world.remove("/s/containers/b/container.json");
  assert.deepEqual(await told(), keys);
  stop(machine);
});
