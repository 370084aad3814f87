import assert from "node:assert/strict";
import { test } from "node:test";
import { show, type Step, words } from "./step.ts";

test("holes become words of the line", () => {
  assert.equal(words`link set dev ${"eth0"} mtu ${1400}`, "link set dev eth0 mtu 1400");
  assert.equal(words`${"fd00::1/64"} netns ${"/run/netns/a-b_c+d"}`, "fd00::1/64 netns /run/netns/a-b_c+d");
  assert.equal(words`no hole`, "no hole");
});

test("what is not one plain word never becomes part of a line", () => {
  const hostile = [
    "",
    " ",
    "a b",
    "a\nb",
    "a\n",
    "a\tb",
    "a;b",
    "a'b",
    'a"b',
    "a`b",
    "a$b",
    "a\\b",
    "a#b",
    "a{b",
    "a}b",
  ];
  const more = [
    "a,b",
    "a|b",
    "a&b",
    "a>b",
    "a*b",
    "a!b",
    "a=b",
    "@set",
    "veth%d",
    "é",
    "a\0b",
    "\u2028",
    "-force",
    "--",
  ];
  for (const text of [...hostile, ...more, -1]) {
    assert.throws(() => words`link del dev ${text}`, {
      message: `Cannot use ${JSON.stringify(String(text))} in a command: it is not one plain word`,
    });
  }
});

test("every kind of step is shown on one line", () => {
  const steps: readonly Step[] = [
    { tool: "ip", on: "host", run: "link set dev a up" },
    { tool: "ip", on: "container", run: "link set dev eth0 up", undo: "link set dev eth0 down" },
    { tool: "bridge", on: "host", run: "vlan add dev a vid 7" },
    { tool: "tc", on: "host", run: "qdisc add dev a root tbf" },
    { tool: "nft", on: "host", run: "add element inet ocinet own4 { 10.0.0.1 }" },
    { tool: "sysctl", on: "container", key: "net/ipv4/conf/eth0.7/arp_notify", value: "1" },
    { tool: "claim", on: "host", path: "/s/10.0.0.1", owner: "c1" },
    { tool: "exec", on: "container", run: ["a", "b"] },
    { tool: "exec", on: "host", undo: ["c", "d"] },
    { tool: "send", on: "host", socket: "/s", run: "{}" },
  ];
  assert.equal(
    show(steps),
    `ip link set dev a up
container: ip link set dev eth0 up
bridge vlan add dev a vid 7
tc qdisc add dev a root tbf
nft add element inet ocinet own4 { 10.0.0.1 }
container: sysctl -w net/ipv4/conf/eth0.7/arp_notify=1
claim /s/10.0.0.1
container: a b
at the end: c d
send /s {}`,
  );
});
