import assert from "node:assert/strict";
import { test } from "node:test";
import { coversPort, grantsOf, parsePolicy, parseUsernet, showRange } from "./policy.ts";

const path = "/etc/ocinet/helper.conf";

test("lines of lxc-usernet are read, and ports; remarks and blank lines are not", () => {
  const text =
    "# all\n\nalice veth lxcbr0 10\n  @web\tveth shop 2 # two\nalice port 8000-8100/tcp\n1000 port 53\n";
  assert.deepEqual(parsePolicy(text, path), [
    { who: "alice", kind: "veth", network: "lxcbr0", count: 10 },
    { who: "@web", kind: "veth", network: "shop", count: 2 },
    { who: "alice", kind: "port", first: 8000, last: 8100, protocol: "tcp" },
    { who: "1000", kind: "port", first: 53, last: 53 },
  ]);
});

test("a line that cannot be read is named with the reason", () => {
  const form = "it is not USER|@GROUP veth NETWORK COUNT, or USER|@GROUP port PORT[-END][/tcp|udp|sctp]";
  const rows = [
    ["alice", form],
    ["alice veth br0", form],
    ["alice veth br0 1 2", form],
    ["alice ovs br0 1", form],
    ["alice port 80 1", form],
    ["alice veth br0 many", '"many" is not a number of containers'],
    ["alice veth br0 -1", '"-1" is not a number of containers'],
    ["alice port 0", '"0" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535'],
    ["alice port 80-70", '"80-70" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535'],
    ["alice port 1-65536", '"1-65536" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535'],
    ["alice port 80/icmp", '"80/icmp" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535'],
    ["alice port tcp", '"tcp" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535'],
  ] as const;
  for (const [line, reason] of rows) {
    assert.throws(() => parsePolicy(`# one\n${line}\n`, path), {
      message: `Cannot read line 2 of ${path}: ${reason}`,
    });
  }
});

test("lxc-usernet is read as lxc-user-nic reads it, which passes over what it cannot", () => {
  const text =
    "# alice veth no 1\n alice veth no 1\nalice veth\nalice veth lxcbr0 some\nalice veth lxcbr0 -1\n" +
    "alice\tveth lxcbr0  2 # remark\n@web veth br0 3";
  assert.deepEqual(parseUsernet(text), [
    { who: "alice", kind: "veth", network: "lxcbr0", count: 2 },
    { who: "@web", kind: "veth", network: "br0", count: 3 },
  ]);
});

test("what several lines grant adds up, and counts only for those whom they name, by whole words", () => {
  const rules = parsePolicy(
    "al veth a 1\nalice veth a 2\n@web veth a 3\n@alice veth b 4\n1000 veth b 5\nalice port 80/udp\n@ops port 22\n",
    path,
  );
  const { networks, ports } = grantsOf(rules, new Set(["alice", "1000", "@web"]));
  assert.deepEqual([...networks], [["a", 5], ["b", 5]]);
  assert.deepEqual(ports, [{ first: 80, last: 80, protocol: "udp" }]);
  assert.deepEqual(grantsOf(rules, new Set(["bob"])), { networks: new Map(), ports: [] });
});

test("a port is covered within a range, of its protocol or of any", () => {
  const ranges = [{ first: 8000, last: 8100, protocol: "tcp" }, { first: 53, last: 53 }] as const;
  const covers = (hostPort: number, protocol: "tcp" | "udp") => coversPort(ranges, { hostPort, protocol });
  assert.deepEqual([7999, 8000, 8100, 8101].map((port) => covers(port, "tcp")), [false, true, true, false]);
  assert.deepEqual([covers(8000, "udp"), covers(53, "udp"), covers(53, "tcp")], [false, true, true]);
  assert.deepEqual(ranges.map(showRange), ["8000-8100/tcp", "53"]);
});
