import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChains, parseElements, showElement } from "./listing.ts";

const table = `table inet ocinet {
	set members4 {
		type ifname . ipv4_addr
		elements = { "br0" . 10.1.1.2 comment "c1 veth1",
			     "veth2" . 10.1.1.2 comment "c2 veth2" }
	}

	set contained6 {
		type ifname . ipv6_addr
	}

	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 comment "c1 veth1" : 10.1.1.2 . 80, udp . 53 : 10.1.1.22 . 53 }
	}

	chain input {
		iifname != "lo" ct state != { established, related } drop
	}
}
`;

test("each element has its set, what it leads to, and whose it is; sets within rules are none", () => {
  assert.deepEqual(parseElements(table), [
    { set: "members4", key: '"br0" . 10.1.1.2', owner: "c1 veth1" },
    { set: "members4", key: '"veth2" . 10.1.1.2', owner: "c2 veth2" },
    { set: "ports4", key: "tcp . 8080", value: "10.1.1.2 . 80", owner: "c1 veth1" },
    { set: "ports4", key: "udp . 53", value: "10.1.1.22 . 53" },
  ]);
  assert.deepEqual(parseElements(""), []);
  assert.deepEqual(parseElements(table).slice(0, 3).map(showElement), [
    '{ "br0" . 10.1.1.2 }',
    '{ "veth2" . 10.1.1.2 }',
    "{ tcp . 8080 : 10.1.1.2 . 80 }",
  ]);
});

test("chains are known by their names", () => {
  assert.deepEqual(parseChains(table), ["input"]);
});
