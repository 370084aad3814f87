import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route } from "../../wire/cni/result.ts";
import { show } from "../../plan/step.ts";
import { addRoutes, alone, gatewayFor } from "./layer3.ts";

const ips = [{ address: "10.1.2.3/24" }, { address: "10.1.3.3/24", gateway: "10.1.3.1" }, {
  address: "fd00::3/64",
  gateway: "fd00::1",
}];

function routed(...routes: readonly Route[]): string {
  return show(addRoutes({ ips, routes }, "eth0")).replaceAll("container: ip route add ", "");
}

test("a route without a gateway of its own goes by the first of its family", () => {
  assert.equal(gatewayFor(ips, "0.0.0.0/0"), "10.1.3.1");
  assert.equal(gatewayFor(ips, "::/0"), "fd00::1");
  assert.equal(gatewayFor([], "::/0"), undefined);
  assert.equal(routed({ dst: "10.9.0.0/16" }), "10.9.0.0/16 via 10.1.3.1 dev eth0");
  assert.equal(routed({ dst: "::/0", gw: "fd00::9" }), "::/0 via fd00::9 dev eth0");
});

test("a route that stays on the link has none", () => {
  assert.equal(routed({ dst: "10.9.0.0/16", scope: 253 }), "10.9.0.0/16 dev eth0 scope 253");
  assert.equal(routed({ dst: "10.9.0.0/16", scope: 0 }), "10.9.0.0/16 via 10.1.3.1 dev eth0 scope 0");
});

test("of two routes that the kernel takes for one, the first counts", () => {
  assert.equal(
    routed({ dst: "0.0.0.0/0" }, { dst: "0.0.0.0/0", gw: "10.1.3.1" }, { dst: "0.0.0.0/0", priority: 9 }, {
      dst: "0.0.0.0/0",
      table: 7,
    }),
    `0.0.0.0/0 via 10.1.3.1 dev eth0
0.0.0.0/0 via 10.1.3.1 dev eth0 metric 9
0.0.0.0/0 via 10.1.3.1 dev eth0 table 7`,
  );
});

test("an address stands alone in the longest prefix", () => {
  assert.deepEqual([alone("10.1.2.3/24"), alone("fd00::1")], ["10.1.2.3/32", "fd00::1/128"]);
});

test("routes to one destination by several gateways are one with as many next hops (plugins#601)", () => {
  assert.equal(
    routed({ dst: "10.9.0.0/16", gw: "10.1.3.7", priority: 5 }, {
      dst: "10.9.0.0/16",
      gw: "10.1.3.8",
      priority: 5,
    }),
    "10.9.0.0/16 metric 5 nexthop via 10.1.3.7 dev eth0 nexthop via 10.1.3.8 dev eth0",
  );
  assert.equal(
    routed({ dst: "::/0", gw: "fd00::8" }, { dst: "::/0", gw: "fd00::9" }, { dst: "::/0", gw: "fd00::8" }),
    "::/0 nexthop via fd00::8 dev eth0 nexthop via fd00::9 dev eth0",
  );
  // One that names no gateway goes by that of the address.
  assert.equal(
    routed({ dst: "10.9.0.0/16" }, { dst: "10.9.0.0/16", gw: "10.1.3.8" }),
    "10.9.0.0/16 nexthop via 10.1.3.1 dev eth0 nexthop via 10.1.3.8 dev eth0",
  );
});
