import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../wire/oci/options.ts";
import { joinPorts } from "../features/container/show_ports.ts";
import { newFake } from "../host/fake.ts";
import { candidates } from "./completion.ts";
import { down } from "./down.ts";
import { inspect } from "./inspect.ts";
import { typedIn } from "./fake_console.ts";
import { list } from "./list.ts";
import { port } from "./port.ts";
import { repair } from "./repair.ts";
import { trace } from "./trace.ts";
import { up } from "./up.ts";
import { verbs } from "./verbs.ts";

/** A machine with containers that are attached: a name, and an id that a runtime made. */
async function machine() {
  const { world, addNamespace, place } = newFake();
  addNamespace("box");
  addNamespace("other");
  await up(world, "box", new Map([["publish", ["7001-7003:7001-7003", "8080:80"]]]));
  await up(world, "/run/netns/other", new Map([["id", [long]]]));
  return { world, place };
}

const long = "2adb".padEnd(64, "0");

test("a container is known by its id, the path it was attached by, and the beginning of a runtime's id", async () => {
  const { world } = await machine();
  const idsOf = async (text: string) => ((await inspect(world, [text])).json as { id: string }[])[0]!.id;
  assert.equal(await idsOf("box"), "box");
  assert.equal(await idsOf("/run/netns/box"), "box");
  assert.equal(await idsOf("2adb"), long);
  // A name is not shortened.
  await assert.rejects(async () => await idsOf("bo"), /"bo": it is not attached; see ocinet ls$/);
  await assert.rejects(
    async () => await repair(world, ["bo"]),
    /Cannot repair container "bo": it is not attached/,
  );
  await assert.rejects(async () => await down(world, ["/run/netns/none"]), UsageError);
  assert.deepEqual((await down(world, ["/run/netns/box", "2ad"])).json, [
    { id: "box", was: "attached" },
    { id: long, was: "attached" },
  ]);
});

test("ls shows states as words, ranges of ports, and short ids", async () => {
  const { world } = await machine();
  const { text, json } = await list(world);
  assert.match(text, /^2adb00000000 +up +default:ip4=172\.16\.28\.3/m);
  assert.match(text, /^box +up .* {2}7001-7003:7001-7003\/tcp, 8080:80\/tcp$/m);
  const [, box] = json as { state: string; ports: unknown[]; networks: { routes: unknown[] }[] }[];
  assert.equal(box!.state, "up");
  assert.deepEqual(box!.networks[0]!.routes[0], { dst: "0.0.0.0/0", gw: "172.16.28.1" });
  assert.deepEqual(box!.ports[3], {
    ...{ mapping: "8080:80/tcp", hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" },
    ...{ driver: "nftables", keepsClientAddress: true },
  });
});

test("every command answers by a template of its JSON, or is quiet; ls then prints ids", async () => {
  const { world } = await machine();
  const by = async (line: string) => {
    const { code, stdout, stderr } = await typedIn(world, line);
    return [code, stdout, stderr.split("\n")[0]];
  };
  const [first] = (await list(world)).json as [{ id: string }];
  assert.deepEqual(await by("ls --format {{.id}}:{{.state}}"), [0, `${first.id}:up\nbox:up\n`, ""]);
  assert.deepEqual(await by("port --format {{.hostPort}} ls box"), [0, "7001\n7002\n7003\n8080\n", ""]);
  const table = (await by("ls --format table\\t{{.id}}\\t{{.state}}"))[1] as string;
  assert.deepEqual(table.split("\n").map((row) => row.replace(/ +/, " ")), [
    "ID STATE",
    `${first.id} up`,
    "box up",
    "",
  ]);
  assert.equal((await by("ls --format json"))[1]!.toString().trim().split("\n").length, 2);
  const networks = async (words: string) => (await by(`network ls ${words}`))[1] as string;
  assert.match(await networks("--no-trunc"), /^[0-9a-f]{64} +default /m);
  assert.match(await networks('--format {{.Name}}={{.Label\u00a0"a"}}\\t{{.Driver}}'), /^default=\tptp$/m);
  assert.equal((await networks("--format json -f name=default")).trim().split("\n").length, 2);
  assert.deepEqual(await by("ls -q"), [0, `${first.id}\nbox\n`, ""]);
  assert.deepEqual(await by("version --quiet"), [0, "", ""]);
  assert.deepEqual(await by("down nosuch --quiet"), [0, "", ""]);
  for (
    const [template, problem] of [
      ["{{end}}", 'template parsing error: "{{end}}": there is nothing that it ends'],
      ["{{nosuch}}", 'template parsing error: "nosuch": function "nosuch" not defined'],
    ]
  ) {
    assert.deepEqual(await by(`ls --format ${template}`), [2, "", `ocinet: ${problem}`]);
  }
  assert.equal((await typedIn(world, "doctor --log-level debug")).stderr.includes("container"), false);
});

test("ls says why a container is not up", async () => {
  const { world, addNamespace, removeNamespace } = newFake();
  addNamespace("box");
  await up(world, "/run/netns/box", new Map());
  removeNamespace("box");
  const { text, json } = await list(world);
  const [{ state, reason }] = json as [{ state: string; reason: string }];
  assert.deepEqual({ state, reason }, { state: "dead", reason: "its namespace /run/netns/box is gone" });
  assert.match(text, /^box +dead .* its namespace \/run\/netns\/box is gone$/m);
});

test("ports are joined where both sides go on, and nothing else differs", () => {
  const make = (hostIp: string, hostPort: number, containerPort: number, protocol: "tcp" | "udp") => ({
    ...{ hostIp, hostPort, containerPort, protocol, driver: "nftables", keepsClientAddress: true },
    mapping: `${hostIp && `${hostIp}:`}${hostPort}:${containerPort}/${protocol}`,
  });
  assert.deepEqual(
    joinPorts([
      ...[
        make("10.0.0.1", 80, 8080, "tcp"),
        make("10.0.0.1", 81, 8081, "tcp"),
        make("10.0.0.1", 82, 90, "tcp"),
      ],
      ...[make("", 83, 91, "tcp"), make("", 84, 92, "udp")],
    ]),
    ["10.0.0.1:80-81:8080-8081/tcp", "10.0.0.1:82:90/tcp", "83:91/tcp", "84:92/udp"],
  );
});

test("port takes a container alone, and the host's port to be taken away", async () => {
  const { world } = await machine();
  assert.match((await port(world, ["box"], new Map())).text, /^8080:80\/tcp nftables$/m);
  assert.doesNotMatch((await port(world, ["rm", "box", "8080"], new Map())).text, /8080/);
  await assert.rejects(
    port(world, ["rm", "box", "9090"], new Map()),
    /^Error: Cannot take away port 9090: it is not/,
  );
  await assert.rejects(
    port(world, ["add", "81:81", "box"], new Map()),
    /the container comes first, then its ports$/,
  );
  await assert.rejects(port(world, ["ls"], new Map()), UsageError);
  await assert.rejects(
    port(world, ["add", "box", "::1:8090:80"], new Map()),
    /in brackets: \[::1\]:8090:80$/,
  );
});

test("completion knows commands, options, networks and containers", async () => {
  const { world, place } = await machine();
  place("/etc/ocinet/net.d/shop.conf", '{ "cniVersion": "1.0.0", "name": "shop", "type": "bridge" }');
  const words = (...typed: string[]) => candidates(world, verbs, typed).map(([word]) => word);
  assert.deepEqual(words("in"), ["inject", "inspect", "install-plugins"]);
  assert.deepEqual(words("session", "sta"), ["start", "status"]);
  assert.deepEqual(words("help", "re"), ["repair"]);
  assert.deepEqual(words("help", "po"), ["port", "ports"]);
  assert.deepEqual(words("help", "topic", "ag"), ["agent"]);
  assert.deepEqual(words("help", "network", "cre"), ["create"]);
  assert.deepEqual(words("he"), ["helper", "help"]);
  assert.deepEqual(words("down", "b"), ["box"]);
  assert.deepEqual(words("cluster", "drain", "b"), ["box"]);
  assert.deepEqual(words("port", "rm", ""), [long, "box"]);
  assert.deepEqual(words("network", "rm", "default", "sh"), ["shop"]);
  assert.deepEqual(words("network", "connect", "shop", "b"), ["box"]);
  assert.deepEqual(words("up", "--ne"), ["--net", "--net-dir"]);
  assert.deepEqual(words("up", "--net", "=", "default,sh"), ["default,shop"]);
  assert.deepEqual(words("run", "--port-driver", ""), ["uplink", "relay"]);
});

/** Commands, their words, options with a value that cannot be right, and flags. */
type WrongUse = readonly [string, readonly string[], Readonly<Record<string, string>>, ...string[]];
const wrongUse: readonly WrongUse[] = [
  ["network create", ["a"], { subnet: "nonsense" }],
  ["network create", ["a"], { gateway: "10.5.0.1" }],
  ["network create", ["a"], { subnet: "10.5.0.0/24", gateway: "x" }],
  ["network create", ["a"], { subnet: "10.5.0.0/24", "ip-range": "x" }],
  ["network create", ["a"], { subnet: "10.5.0.0/24", "aux-address": "x" }],
  ["network create", ["a"], { driver: "host" }],
  ["network create", ["a"], { label: "=x" }],
  ["network create", ["a"], { "ipam-opt": "=x" }],
  ["network create", ["a"], { opt: "mtu=x" }],
  ["network create", ["a"], { opt: "names=x" }],
  ["network create", ["a"], { opt: "nams=dns" }],
  ["network create", ["a"], { driver: "macvlan", opt: "parent=a/b" }],
  ["network create", ["a"], { driver: "overlay", subnet: "nonsense" }],
  ["network create", ["a"], { driver: "overlay", opt: "mtu=x" }],
  ["network create", ["a"], { driver: "overlay", opt: "mtu=65536" }],
  ["network create", ["a"], { driver: "overlay", opt: "multicast=x" }],
  ["network create", ["a"], { driver: "overlay", opt: "multicasts" }],
  ["cluster create", ["a"], { mtu: "67" }],
  ["network create", ["a"], { driver: "overlay" }, "ipv6"],
  ["network create", ["a"], { driver: "overlay" }, "config-only"],
  ["network create", ["bridge"], { driver: "overlay" }],
  ["network create", ["a b"], {}],
  ["network ls", [], { filter: "nope" }],
  ["network ls", [], { filter: "nope=1" }],
  ["network ls", [], { filter: "dangling=x" }],
  ["network ls", [], { format: "{{.Nope}}" }],
  ["network inspect", ["default"], { format: "{{.Nope}}" }],
  ["network prune", [], { filter: "until=x" }],
  ["network connect", ["default", "box"], { ip: "nonsense" }],
  ["network connect", ["default", "box"], { ip6: "10.5.0.1" }],
  ["network connect", ["default", "box"], { "mac-address": "zz" }],
  ["network connect", ["default", "box"], { ifname: "a/b" }],
  ["network connect", ["default", "box"], { "gw-priority": "x" }],
  ["network connect", ["default", "box"], { affinity: "client" }],
  ["cluster create", ["a"], { subnet: "nonsense" }],
  ["cluster create", ["a"], { mtu: "x" }],
  ["cluster create", ["pasta"], {}],
  ["cluster drain", [], {}],
  ["cluster undrain", ["box"], {}, "all"],
  ["up", ["box"], { publish: "99999:1" }],
  ["hooks-json", [], { uplink: "x" }],
  ["inject", ["/none"], { "rate-in": "x" }],
  ["session start", [], { uplink: "x" }],
  ["port", ["add", "box", "x"], {}],
  ["trace", ["box", "1.2.3.4:99999"], {}],
  ["trace", ["box", "[fd00::1]:80"], {}],
  ["trace", ["box", ":99999"], {}],
  ["top", [], { interval: "x" }],
  ["agent", [], { workers: "x" }],
  ["agent", [], { page: "x" }],
  ["cni", ["add", "shop", "/run/netns/box"], { ifname: "a/b" }],
  ["cni", ["add", "shop", "/run/netns/box"], { args: "x" }],
  ["cni", ["add", "shop", "/run/netns/box"], { "capability-args": "x" }],
  ["cni", ["gc", "shop"], { valid: "a b" }],
];

test("a value that cannot be right is wrong use, which the exit status says", async () => {
  const { world } = await machine();
  for (const [name, words, options, ...flags] of wrongUse) {
    const verb = verbs.find(({ group, usage }) => [group, usage.split(" ")[0]].join(" ").trim() === name)!;
    const given = new Map(Object.entries(options).map(([key, value]) => [key, [value]]));
    const typed = { words, given, flags: new Set(flags), version: "", stdin: () => Promise.resolve("") };
    const screen = () => ({ isTerminal: false } as never);
    await assert.rejects(
      async () => await verb.act(world, { ...typed, screen }),
      UsageError,
      `${name} ${words.join(" ")} ${JSON.stringify(options)}`,
    );
  }
  await assert.rejects(trace(world, "box", "1.2.3.4:99999"), /"1\.2\.3\.4:99999": .*leave ":99999" out$/);
});
