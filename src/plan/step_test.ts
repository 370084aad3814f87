import assert from "node:assert/strict";
import { test } from "node:test";
import { setLink } from "./ip.ts";
import { element } from "./nft/element.ts";
import { claim, exec, isStep, line, send, setSysctl, show, type Step, stepKey, words } from "./step.ts";

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
    setLink("host", "a", "up"),
    setLink("container", "eth0", "up"),
    line("bridge", "host", { kind: "vlan", port: "a", vlan: "7" }, "vlan add dev a vid 7"),
    line("tc", "host", { kind: "queue", link: "a", parent: "root" }, "qdisc add dev a root tbf"),
    element("inet ocinet own4", "10.0.0.1"),
    setSysctl("container", "net/ipv4/conf/eth0.7/arp_notify", "1"),
    claim("/s/10.0.0.1", "c1"),
    exec("container", "a", { run: ["a", "b"] }),
    exec("host", "c", { undo: ["c", "d"] }),
    send("/s", "port", { run: "{}" }),
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

test("a step is about one thing, whatever it says of it", () => {
  const same = (a: Step, b: Step) => stepKey(a) === stepKey(b);
  assert.ok(
    same(
      element("inet ocinet ports4", "tcp . 80", { value: "10.0.0.1 . 80" }),
      element("inet ocinet ports4", "tcp . 80"),
    ),
  );
  assert.ok(!same(element("inet ocinet ports4", "tcp . 80"), element("inet ocinet ports6", "tcp . 80")));
  assert.ok(same(setSysctl("host", "net/a", "0"), setSysctl("host", "net/a", "1")));
  assert.ok(!same(setSysctl("host", "net/a", "0"), setSysctl("container", "net/a", "0")));
  assert.ok(!same(setLink("host", "a", "up"), setLink("host", "b", "up")));
});

test("only what is a step of a known tool, about a known thing, is read as one", () => {
  const steps = [setLink("host", "a", "up"), claim("/s/a", "c1"), exec("host", "a", { run: ["a"] })];
  for (const step of steps) assert.ok(isStep(JSON.parse(JSON.stringify(step))), show([step]));
  const [good] = steps;
  const bad = [null, 7, {}, { ...good, on: "moon" }, { ...good, tool: "constructor" }, { ...good, run: 7 }];
  const ids = [undefined, null, "link a", {}, { kind: "constructor" }, { kind: "route", attributes: [7] }];
  for (const value of [...bad, ...ids.map((id) => ({ ...good, id }))]) {
    assert.ok(!isStep(value), JSON.stringify(value));
  }
});
