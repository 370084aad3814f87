import assert from "node:assert/strict";
import { test } from "node:test";
import { invocation, stages, typedLines } from "./batch.ts";
import { show, type Step } from "./step.ts";

const step = {
  link: { tool: "ip", on: "host", run: "link add name a type bridge", undo: "link del dev a" },
  up: { tool: "ip", on: "container", run: "link set dev eth0 up" },
  here: { tool: "sysctl", on: "host", key: "net/ipv4/ip_forward", value: "1" },
  there: { tool: "sysctl", on: "container", key: "net/ipv4/conf/eth0/arp_notify", value: "1", undo: "0" },
  port: { tool: "bridge", on: "host", run: "vlan add dev a vid 7" },
  rate: { tool: "tc", on: "container", run: "qdisc add dev eth0 root tbf" },
  rule: { tool: "nft", on: "host", run: "add element inet ocinet own4 { 10.0.0.1 }" },
  claim: { tool: "claim", on: "host", path: "/s/10.0.0.1", owner: "c1" },
  exec: { tool: "exec", on: "host", run: ["true"] },
  send: { tool: "send", on: "host", socket: "/s", run: "{}" },
} as const satisfies Record<string, Step>;

/** A line for each process: which stage, which lane, whose place, what. */
function shown(steps: readonly Step[]): string {
  return stages(steps).flatMap((stage, i) =>
    stage.flatMap((lane, j) => lane.map(({ tool, on, steps }) => `${i}.${j} ${tool} ${on}: ${show(steps)}`))
  ).join("\n").replaceAll("container: ip", "ip").replaceAll("container: sysctl", "sysctl");
}

test("what guards a link is there before it, and stays until it is gone", () => {
  const { link, rule, claim, send } = step;
  const guard = { ...rule, guards: true };
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
  const flows = (port: string) => ({ tool: "conntrack", on: "host", port }) as const;
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
  const both = invocation([{ ...there, optional: true }, { ...there, key: "a" }, up], ["in"], "run");
  assert.deepEqual([both.argv.slice(0, 3), both.argv.slice(4)], [
    ["in", "sh", "-c"],
    ["sh", "?net/ipv4/conf/eth0/arp_notify=1", "!a=1", "--", "ip", "-batch", "-"],
  ]);
  assert.deepEqual(invocation([there], [], "undo").argv.slice(3), [
    "sh",
    "<net/ipv4/conf/eth0/arp_notify=0",
    "1",
    "--",
    "true",
  ]);
});

test("typedLines() says what an invocation does, as a person would type it", () => {
  const there = { ...step.there, optional: true } as const;
  const { argv, stdin } = invocation([there, step.up], ["nsenter", "--net=/n"], "run");
  assert.deepEqual(typedLines(argv, stdin), [
    "nsenter --net=/n sysctl -w net/ipv4/conf/eth0/arp_notify=1",
    "nsenter --net=/n ip link set dev eth0 up",
  ]);
  const alone = invocation([there], [], "undo");
  assert.deepEqual(typedLines(alone.argv, alone.stdin), ["sysctl -w net/ipv4/conf/eth0/arp_notify=0"]);
  assert.deepEqual(typedLines(["sh", "-c", "echo 'a b'"]), [String.raw`sh -c 'echo '\''a b'\'''`]);
});
