import assert from "node:assert/strict";
import { test } from "node:test";
import { invocation, stages, typedLines } from "./batch.ts";
import { setLink } from "./ip.ts";
import { element } from "./nft/element.ts";
import { claim, endFlowsTo, exec, line, send, setSysctl, show, type Step } from "./step.ts";

const step = {
  link: line("ip", "host", { kind: "link", link: "a" }, "link add name a type bridge", {
    undo: "link del dev a",
  }),
  up: setLink("container", "eth0", "up"),
  here: setSysctl("host", "net/ipv4/ip_forward", "1"),
  there: setSysctl("container", "net/ipv4/conf/eth0/arp_notify", "1", { undo: "0" }),
  port: line("bridge", "host", { kind: "vlan", port: "a", vlan: "7" }, "vlan add dev a vid 7"),
  rate: line(
    "tc",
    "container",
    { kind: "queue", link: "eth0", parent: "root" },
    "qdisc add dev eth0 root tbf",
  ),
  rule: element("inet ocinet own4", "10.0.0.1"),
  claim: claim("/s/10.0.0.1", "c1"),
  exec: exec("host", "nothing", { run: ["true"] }),
  send: send("/s", "nothing", { run: "{}" }),
} as const;

/** One line per process: stage, lane, place and commands. */
function shown(steps: readonly Step[]): string {
  return stages(steps).flatMap((stage, i) =>
    stage.flatMap((lane, j) => lane.map(({ tool, on, steps }) => `${i}.${j} ${tool} ${on}: ${show(steps)}`))
  ).join("\n").replaceAll("container: ip", "ip").replaceAll("container: sysctl", "sysctl");
}

test("what guards a link is there before it, and stays until it is gone", () => {
  const { link, rule, claim, send } = step;
  const guard = { ...rule, before: true as const };
  assert.equal(
    shown([link, rule, guard, claim]),
    `0.0 claim host: claim /s/10.0.0.1
1.0 nft host: nft add element inet ocinet own4 { 10.0.0.1 }
2.0 ip host: ip link add name a type bridge
2.1 nft host: nft add element inet ocinet own4 { 10.0.0.1 }`,
  );
  assert.equal(
    shown([send, guard]).split("\n")[0],
    "0.0 nft host: nft add element inet ocinet own4 { 10.0.0.1 }",
  );
});

test("flows of all ports are looked for at once", () => {
  const flows = (port: string) => endFlowsTo(port);
  assert.equal(
    shown([step.rule, flows("53"), flows("54"), step.exec]),
    `0.0 nft host: nft add element inet ocinet own4 { 10.0.0.1 }
1.0 conntrack host: conntrack -D -p udp --orig-port-dst 53
conntrack -D -p udp --orig-port-dst 54
2.0 exec host: true`,
  );
});

test("links go in one order whatever the plan's, rules beside them, claims before all", () => {
  const { link, up, here, there, port, rate, rule, claim } = step;
  assert.equal(
    shown([rule, rate, up, claim, port, there, here, link]),
    `0.0 claim host: claim /s/10.0.0.1
1.0 ip host: ip link add name a type bridge
1.0 sysctl host: sysctl -w net/ipv4/ip_forward=1
1.0 ip container: sysctl -w net/ipv4/conf/eth0/arp_notify=1
ip link set dev eth0 up
1.0 bridge host: bridge vlan add dev a vid 7
1.0 tc container: container: tc qdisc add dev eth0 root tbf
1.1 nft host: nft add element inet ocinet own4 { 10.0.0.1 }`,
  );
});

test("a step that stands alone parts what is before it from what is after", () => {
  const { link, up, exec, send } = step;
  assert.equal(
    shown([up, exec, send, link]),
    `0.0 ip container: ip link set dev eth0 up
1.0 exec host: true
2.0 send host: send /s {}
3.0 ip host: ip link add name a type bridge`,
  );
});

test("no step is lost or done twice", () => {
  const all = Object.values(step);
  const done = stages([...all, ...all]).flat(2).flatMap(({ steps }) => steps);
  assert.equal(done.length, 2 * all.length);
  assert.deepEqual(new Set(done), new Set(all));
  assert.deepEqual(stages([]), []);
});

test("lines are one program's input, and undoing goes on past a line that fails", () => {
  const { link, rule } = step;
  assert.deepEqual(invocation([link], [], "run"), {
    argv: ["ip", "-batch", "-"],
    stdin: "link add name a type bridge\n",
  });
  assert.deepEqual(invocation([link], ["nsenter", "--net=/n"], "undo"), {
    argv: ["nsenter", "--net=/n", "ip", "-force", "-batch", "-"],
    stdin: "link del dev a\n",
  });
  assert.deepEqual(invocation([rule], [], "run"), { argv: ["nft", "-f", "-"], stdin: `${rule.run}\n` });
});

test("sysctls of a container are set by the process that goes on to its links", () => {
  const { there, up } = step;
  const both = invocation([{ ...there, onError: "ignore" }, { ...there, key: "a" }, up], ["in"], "run");
  assert.deepEqual([both.argv.slice(0, 3), both.argv.slice(4)], [
    ["in", "sh", "-c"],
    ["sh", "?net/ipv4/conf/eth0/arp_notify=1", "!a=1", "--", "ip", "-batch", "-"],
  ]);
  assert.deepEqual(invocation([there], [], "undo").argv.slice(3), [
    "sh",
    "<net/ipv4/conf/eth0/arp_notify=0",
    "=1",
    "--",
    "true",
  ]);
});

test("typedLines() says what an invocation does, as a person would type it", () => {
  const there = { ...step.there, onError: "ignore" } as const;
  const { argv, stdin } = invocation([there, step.up], ["nsenter", "--net=/n"], "run");
  assert.deepEqual(typedLines(argv, stdin), [
    "nsenter --net=/n sysctl -w net/ipv4/conf/eth0/arp_notify=1",
    "nsenter --net=/n ip link set dev eth0 up",
  ]);
  const alone = invocation([there], [], "undo");
  assert.deepEqual(typedLines(alone.argv, alone.stdin), ["sysctl -w net/ipv4/conf/eth0/arp_notify=0"]);
  assert.deepEqual(typedLines(["sh", "-c", "echo 'a b'"]), [String.raw`sh -c 'echo '\''a b'\'''`]);
});

test("a sysctl of a link that arrives under another name is set once it has its own", () => {
  const rename = line("ip", "container", { kind: "link", link: "eth0" }, "link set dev veth1 name eth0");
  assert.equal(
    shown([rename, step.there]),
    `0.0 ip container: ip link set dev veth1 name eth0
1.0 ip container: sysctl -w net/ipv4/conf/eth0/arp_notify=1`,
  );
  const either = setSysctl("container", "net/ipv4/conf/eth0/arp_notify", "1", { onError: "ignore" });
  assert.doesNotMatch(shown([rename, either]), /^1/m);
  const mtu = setSysctl("container", "net/ipv6/conf/eth0/mtu", "1300");
  assert.equal(
    shown([step.up, mtu]),
    `0.0 ip container: ip link set dev eth0 up
1.0 ip container: sysctl -w net/ipv6/conf/eth0/mtu=1300`,
  );
});
