import assert from "node:assert/strict";
import { test } from "node:test";
import type { Output, World } from "../../plan/world.ts";
import { show } from "../../plan/step.ts";
import { newEtcd } from "../../host/fake/etcd.ts";
import { type Agent, type Joined, updateNetwork } from "./agent_state.ts";
import { parseClusterConfig } from "./cluster_config.ts";
import { connect } from "./etcd.ts";
import { parseHost, parseNetwork, writeNetwork } from "./keys.ts";
import { guardStep, mtuOf } from "./links.ts";
import { mirror } from "./mirror.ts";
import { createNetwork } from "./networks.ts";
import {
  encryptionProblem,
  followTunnel,
  hostsOn,
  rotateKey,
  tunnelAddress,
  tunnelled,
  underlayOf,
} from "./tunnel.ts";

const key = (letter: string) => `${letter.repeat(42)}A=`;
const network = parseNetwork("a", '{"version":2,"vni":7,"subnets":["10.9.0.0/24"],"encrypted":true}');

/** A host with programs, whose keys are made of one letter after the other. */
function hostWorld(etcd: ReturnType<typeof newEtcd>, programs: readonly string[], kernel = true) {
  const [files, inputs, letters] = [new Map<string, string>(), [] as string[], [..."abcdef"]];
  const links = new Set<string>();
  const run = (argv: readonly string[], { stdin = "" } = {}): Promise<Output> => {
    const line = argv.join(" ");
    const read = argv[1] === "syncconf" ? files.get(argv[3]!)! : stdin;
    inputs.push(read === "" ? line : `${line} <<\n${read}`);
    const shown = [{ ifname: "eth0", mtu: 1500, addr_info: [{ local: "192.0.2.1", scope: "global" }] }];
    if (line.includes("type wireguard") && !kernel) {
      return Promise.resolve({ code: 2, stdout: "", stderr: "Error: Unknown device type.\n" });
    }
    if (/type wireguard|^wireguard-go/.test(line)) links.add("wg-ocinet");
    if (line.startsWith("ip link del")) links.delete("wg-ocinet");
    const stdout = line === "wg genkey"
      ? key(letters.shift()!)
      : line === "wg pubkey"
      ? stdin.trim().toUpperCase()
      : line.startsWith("ip -json address")
      ? JSON.stringify(shown)
      : "";
    return Promise.resolve({ code: line === "modprobe wireguard" && !kernel ? 1 : 0, stdout, stderr: "" });
  };
  const world = {
    http: etcd.http,
    run,
    env: () => "/bin",
    read: (path: string) => path.endsWith("/flags") ? links.size > 0 ? "0x91" : undefined : files.get(path),
    write: (path: string, text: string, mode: number) => {
      files.set(path, text);
      assert.equal(mode, 0o600);
    },
    remove: (path: string) => void files.delete(path),
    readLink: () => "net:[1]",
    stat: (path: string) =>
      programs.some((name) => path === `/bin/${name}`)
        ? { kind: "file", mode: 0o755, identity: "1:1" }
        : path === "/sys/class/net/wg-ocinet"
        ? links.size > 0 ? { kind: "directory" } : undefined
        : path.startsWith("/proc")
        ? { identity: "4:1" }
        : undefined,
  } as unknown as World;
  return { world, files, inputs };
}

const usual = ["wg"];

async function agentOn(machine: ReturnType<typeof hostWorld>) {
  const config = parseClusterConfig('{"endpoints":["http://e:1"],"underlay":"eth0"}', "/c.json", "h1");
  const client = connect(machine.world, config);
  const agent = {
    ...{
      world: machine.world,
      state: "/s",
      config,
      store: { etcd: client, prefix: config.prefix, random: Math.random },
    },
    hosts: mirror({ etcd: client, random: Math.random }, "/ocinet/hosts/", () => {}),
    networks: mirror({ etcd: client, random: Math.random }, "/ocinet/networks/", () => {}),
    services: mirror({ etcd: client, random: Math.random }, "/ocinet/services/", () => {}),
    ...{
      joined: new Map([["a", { network } as Joined]]),
      problems: new Map(),
      wake: () => {},
      end: () => {},
      published: new Map(),
      tell: () => {},
    },
    underlay: { address: "192.0.2.1", mtu: 1500 },
  } as Agent;
  await Promise.all([agent.hosts.wait(5000), agent.networks.wait(5000)]);
  return { agent, stop: () => [agent.hosts, agent.networks, agent.services].forEach((one) => one.stop()) };
}

const record = (underlay: string, letter: string) =>
  JSON.stringify({
    ...{ version: 1, underlay, mtu: 1500, port: 4789, instance: "i" },
    tunnel: { key: key(letter), port: 51871 },
  });

test("a host makes its key, tells the public part alone, and takes other hosts' keys each for its own address", async () => {
  const etcd = newEtcd();
  etcd.put("/ocinet/hosts/h2", record("192.0.2.2", "X"));
  // A third host claims the second one's key, and another this host's; one has none.
  etcd.put("/ocinet/hosts/h3", record("192.0.2.3", "X"));
  etcd.put("/ocinet/hosts/h4", record("192.0.2.4", "A"));
  etcd.put("/ocinet/hosts/h5", record("2001:db8::5", "Y"));
  etcd.put(
    "/ocinet/hosts/h6",
    JSON.stringify({ ...JSON.parse(record("192.0.2.6", "Z")), tunnel: undefined }),
  );
  const machine = hostWorld(etcd, usual);
  const { agent, stop } = await agentOn(machine);
  await followTunnel(agent);
  const own = etcd.dump()["/ocinet/hosts/h1"]!;
  assert.match(own, new RegExp(key("A")));
  assert.doesNotMatch(JSON.stringify(etcd.dump()), new RegExp(key("a")));
  const conf = machine.inputs.findLast((line) => line.startsWith("wg syncconf"))!;
  const peer = async (host: string, letter: string, endpoint: string) =>
    `[Peer]\nPublicKey = ${key(letter)}\nAllowedIPs = ${await tunnelAddress(
      host,
    )}/128\nEndpoint = ${endpoint}\nPersistentKeepalive = 25\n`;
  assert.equal(
    conf.slice(conf.indexOf("[Peer]")),
    await peer("h2", "X", "192.0.2.2:51871") + await peer("h5", "Y", "[2001:db8::5]:51871"),
  );
  assert.match(agent.problems.get("keys")!, /key of host "h3": it is that of host "h2"/);
  // Nothing is done twice. Without the link nothing may leave in clear text.
  const before = machine.inputs.length;
  await followTunnel(agent);
  assert.equal(machine.inputs.length, before);
  assert.ok(machine.inputs.some((line) => line.includes("route replace unreachable fd6f:6369:6e65::/48")));
  // Another host comes. Where the one before it sends from may not be what its record says.
  etcd.put(
    "/ocinet/hosts/h7",
    record("192.0.2.7", "W").replace('"port":51871', '"port":51871,"address":"198.51.100.7"'),
  );
  for (let i = 0; i < 5000 && !agent.hosts.held.has("h7"); i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await followTunnel(agent);
  const second = machine.inputs.findLast((line) => line.startsWith("wg syncconf"))!;
  assert.deepEqual(second.match(/^Endpoint.*/gm), ["Endpoint = 198.51.100.7:51871"]);
  assert.deepEqual(second.match(/^AllowedIPs.*/gm)!.slice(0, 2), conf.match(/^AllowedIPs.*/gm));
  // A new key: the host keeps its address in the tunnel, and the file has the new one.
  assert.equal(await rotateKey(agent), key("B"));
  assert.match(etcd.dump()["/ocinet/hosts/h1"]!, new RegExp(key("B")));
  assert.equal(machine.files.get("/s/agent.key"), `${key("b")}\n`);
  // While the others cannot be told, the old one stays.
  etcd.fail({ status: 500, message: "no disk" });
  await assert.rejects(
    rotateKey(agent),
    /^Error: Cannot rotate the key: Cannot reach etcd: .*no disk/,
  );
  etcd.fail(undefined);
  assert.deepEqual([agent.tunnel!.key, machine.files.get("/s/agent.key")], [key("B"), `${key("b")}\n`]);
  // When no encrypted network is left, key and link go.
  agent.joined.clear();
  await followTunnel(agent);
  assert.deepEqual([...machine.files], []);
  assert.ok(machine.inputs.includes("ip link del dev wg-ocinet"));
  await assert.rejects(rotateKey(agent), /Cannot rotate the key of host "h1": it has none/);
  stop();
});

test("without WireGuard a network is refused with the remedy; a program stands in for the kernel's", async () => {
  const etcd = newEtcd();
  assert.match((await encryptionProblem(hostWorld(etcd, []).world))!, /install wireguard-tools/);
  assert.match(
    (await encryptionProblem(hostWorld(etcd, usual, false).world))!,
    /the kernel has no WireGuard, and there is no wireguard-go; load the module .*, or install wireguard-go/,
  );
  const machine = hostWorld(etcd, ["wg", "wireguard-go"], false);
  assert.equal(await encryptionProblem(machine.world), undefined);
  const { agent, stop } = await agentOn(machine);
  await followTunnel(agent);
  assert.ok(machine.inputs.includes("wireguard-go wg-ocinet"));
  stop();
});

test("hosts without a key have no part in an encrypted network, and the MTU leaves room for both headers", async () => {
  const etcd = newEtcd();
  etcd.put("/ocinet/hosts/h2", record("192.0.2.2", "X"));
  etcd.put(
    "/ocinet/hosts/h6",
    JSON.stringify({ ...JSON.parse(record("192.0.2.6", "Z")), tunnel: undefined }),
  );
  const { agent, stop } = await agentOn(hostWorld(etcd, usual));
  const hosts = await hostsOn(agent, network);
  assert.deepEqual([...hosts.keys()], ["h2"]);
  assert.equal(hosts.get("h2")!.underlay, await tunnelAddress("h2"));
  const { encrypted: _, ...plain } = network;
  assert.deepEqual([...(await hostsOn(agent, plain)).keys()], ["h2", "h6"]);
  assert.equal(mtuOf(network, [(await underlayOf(agent, network))!]), 1370);
  assert.equal(mtuOf(network, [tunnelled({ mtu: 1500 }, "2001:db8::1", "fd00::1") as never]), 1350);
  stop();
});

test("an encrypted network's packets come and go by the tunnel alone", () => {
  const rules = show([guardStep({
    ...{ network, digest: "abcdef0123456789", own: ["10.9.0.5/24"], port: 4789, tunnel: "wg-ocinet" },
    underlay: { address: "fd6f:6369:6e65::1", mtu: 1440 },
  })]);
  assert.match(
    rules,
    /arriving iifname wg-ocinet udp dport 4789 @th,96,24 7 ip6 saddr @peers notrack accept/,
  );
  assert.match(rules, /arriving udp dport 4789 @th,96,24 7 fib daddr type local counter drop/);
  assert.match(rules, /leaving oifname != wg-ocinet udp dport 4789 @th,96,24 7 counter drop\n/);
});

test("older agents leave an encrypted network alone, and no record takes its encryption away", async () => {
  assert.match(writeNetwork(network), /^\{"version":2,.*"encrypted":true\}$/);
  const { encrypted: _, ...plain } = network;
  assert.match(writeNetwork(plain), /^\{"version":1,/);
  assert.throws(
    () => updateNetwork({ network } as Joined, { network: plain, created: "1" }),
    /knows it as encrypted/,
  );
  const etcd = newEtcd();
  const { agent, stop } = await agentOn(hostWorld(etcd, usual));
  await createNetwork(agent.store, { name: "a", subnets: ["10.9.0.0/24"], encrypted: true });
  assert.match(etcd.dump()["/ocinet/networks/a"]!, /^\{"version":2,.*"encrypted":true\}$/);
  stop();
});

test("a host's record with a key that is none is refused", () => {
  const base = JSON.parse(record("192.0.2.1", "A"));
  for (
    const tunnel of [{}, null, { key: "x", port: 1 }, { key: `${key("A")}\n`, port: 1 }, {
      key: key("A"),
      port: 0,
    }]
  ) {
    assert.throws(() => parseHost("h", JSON.stringify({ ...base, tunnel })), Error, JSON.stringify(tunnel));
  }
});
