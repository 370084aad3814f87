import assert from "node:assert/strict";
import { test } from "node:test";
import { allowOnly } from "./egress.ts";

/** The rules for the destinations, without the ones that are always there. */
const rulesOf = (...destinations: Parameters<typeof allowOnly>[0]) =>
  allowOnly(destinations).run.split("listener-report } accept; ")[1]?.split(" };")[0];

test("nowhere but to hosts that asked first", () => {
  assert.equal(
    allowOnly([]).run,
    "table inet ocinet_egress { chain allowed { oifname lo accept; ct state established,related accept; " +
      "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept; }; " +
      "chain output { type filter hook output priority 0; jump allowed; reject with icmpx admin-prohibited; }; " +
      "chain forward { type filter hook forward priority 0; jump allowed; reject with icmpx admin-prohibited; }; }",
  );
});

test("places and ports, of either family", () => {
  assert.equal(
    rulesOf(
      { prefix: "10.0.0.0/8" },
      { prefix: "fd00::1/128", ports: { first: 53, last: 53 }, protocol: "udp" },
      { ports: { first: 80, last: 89 } },
    ),
    "ip daddr 10.0.0.0/8 accept; ip6 daddr fd00::1/128 udp dport 53-53 accept; " +
      "meta l4proto { tcp, udp } th dport 80-89 accept;",
  );
});

test("no word of a place ends a rule", () => {
  assert.throws(() => allowOnly([{ prefix: "10.0.0.0/8 accept; flush ruleset" }]));
});
