import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside, type Inside, insideAfter } from "../../plan/inside.ts";
import { addAddress, addRoute } from "../../plan/ip.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show, type Step } from "../../plan/step.ts";
import * as sbr from "./sbr.ts";

const at = { ifname: "eth0" } as Attachment;
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "cni0" }, { name: "eth0", sandbox: "/n" }],
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 1 }, {
    address: "fd00::3/64",
    interface: 1,
  }],
};
const inside = insideAfter(emptyInside, [
  addAddress("container", "10.1.2.3/24", "eth0"),
  addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0"),
  addRoute("container", { dst: "10.9.0.0/16", gw: "10.8.0.1" }, "eth0"),
  addAddress("container", "10.7.7.7/24", "eth1"),
  addAddress("container", "fd00::3/64", "eth0"),
  addAddress("container", "fe80::3/64", "eth0"),
]);

function plan(conf: Record<string, unknown>, seen: Inside = inside, before = made) {
  const look: HostState = { links: new Map(), sysctls: new Map(), inside: seen };
  return sbr.plan(sbr.parse(fields(conf)), at, before, look);
}

test("each address gets a table with its routes, and a rule; the main table loses them", () => {
  const { steps, result } = plan({});
  assert.equal(
    show(steps),
    `container: ip route replace 10.1.2.0/24 dev eth0 proto kernel scope link src 10.1.2.3 table 100
container: ip route replace 0.0.0.0/0 via 10.1.2.1 dev eth0 table 100
container: ip route replace fd00::/64 dev eth0 proto kernel metric 256 table 101
container: ip route del 10.1.2.0/24 dev eth0
container: ip route del 0.0.0.0/0 via 10.1.2.1 dev eth0
container: ip route del 10.9.0.0/16 via 10.8.0.1 dev eth0
container: ip route del fd00::/64 dev eth0
container: ip rule add from 10.1.2.3/32 lookup 100
container: ip -6 rule add from fd00::3/128 lookup 101`,
  );
  assert.deepEqual(steps.slice(-2).map(undoOf), [
    "rule del from 10.1.2.3/32 lookup 100",
    ["ip", "-6", "rule", "del", "from", "fd00::3/128", "lookup", "101"],
  ]);
  assert.equal(result, made);
});

function undoOf(step: Step) {
  return "undo" in step ? step.undo : undefined;
}

test("tables are the first that are free, and none of the kernel's", () => {
  const taken = [100, 102, ...Array.from({ length: 150 }, (_, i) => 103 + i)];
  const rules = taken.map((table) => ({ from: "10.9.9.9", table }));
  assert.match(show(plan({}, { ...inside, rules }).steps), / lookup 101\n.* lookup 256$/);
});

test("a default route is added where the interface has none but a gateway, its own or one that is given", () => {
  const bare = { ...inside, routes: inside.routes.filter(({ dst }) => dst !== "0.0.0.0/0") };
  assert.match(show(plan({}, bare).steps), /route replace 0\.0\.0\.0\/0 via 10\.1\.2\.1 dev eth0 table 100/);
  const text = show(plan({ gateways: ["10.1.2.254", "fd00::1"] }, bare).steps);
  assert.match(text, /route replace 0\.0\.0\.0\/0 via 10\.1\.2\.254 dev eth0 table 100/);
  assert.match(text, /route replace ::\/0 via fd00::1 dev eth0 table 101/);
});

test("a route says in its table all that it said in the main one", () => {
  const route = { dst: "10.1.2.0/25", dev: "eth0" };
  const attributes = [["via", "10.1.2.9"], ["onlink", ""], ["mtu", "1300"]] as const;
  const text = show(plan({}, { ...inside, routes: [{ ...route, attributes }] }).steps);
  assert.match(text, /route replace 10\.1\.2\.0\/25 via 10\.1\.2\.9 dev eth0 onlink mtu 1300 table 100$/m);
});

test("with source hints the subnets stay in the main table, and say from which address to send", () => {
  const text = show(plan({ addSourceHints: true }).steps);
  assert.match(text, /route replace 10\.1\.2\.0\/24 dev eth0 proto kernel scope link src 10\.1\.2\.3$/m);
  assert.match(text, /route replace fd00::\/64 dev eth0 proto kernel metric 256 src fd00::3$/m);
  assert.deepEqual(text.match(/route del \S+/g), ["route del 0.0.0.0/0", "route del 10.9.0.0/16"]);
});

test("a table that is named gets the rules, and nothing else is done", () => {
  assert.equal(
    show(plan({ table: 77 }).steps),
    `container: ip rule add from 10.1.2.3/32 lookup 77
container: ip -6 rule add from fd00::3/128 lookup 77`,
  );
  assert.deepEqual(sbr.lookups(), { inside: true });
});

test("where nothing is written down, the rules of its addresses go, and no others", () => {
  const undone = (conf: Record<string, unknown>, before = made) => {
    const rules = [["10.1.2.3", 107], ["fd00::3", 100], ["10.1.2.4", 100], ["all", 100]] as const;
    const links = new Map([["eth0", { name: "eth0", addresses: ["10.1.2.3/24", "fd00::3/64"] }]]);
    const seen = { ...inside, links, rules: rules.map(([from, table]) => ({ from, table })) };
    const look: HostState = { links: new Map(), sysctls: new Map(), inside: seen };
    return sbr.unrecorded(sbr.parse(fields(conf)), at, before, look).map(undoOf);
  };
  const [four, six] = ["rule del from 10.1.2.3/32 lookup 107", "ip -6 rule del from fd00::3/128 lookup 100"];
  assert.deepEqual(undone({}), [four, six.split(" ")]);
  assert.deepEqual(undone({}, emptyResult), [four, six.split(" ")]);
  assert.deepEqual(undone({ table: 107 }), [four]);
});

test("gateways are addresses, one of a family", () => {
  const message = 'Cannot use "gateways": there is more than one of a family';
  assert.throws(() => plan({ gateways: ["10.0.0.1", "10.0.0.2"] }), { message });
  assert.throws(() => plan({ gateways: ["10.0.0.300"] }), { message: "invalid IP address: 10.0.0.300" });
  assert.throws(() => plan({ table: 0 }), { code: 6 });
});

test("a default route that another network's has kept out of the main table is in the address's own (plugins#893)", () => {
  const two: Result = {
    ...made,
    ips: [{ address: "10.1.2.3/24", interface: 1 }, { address: "fd00::3/64", interface: 1 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }, { dst: "::/0", gw: "fd00::1", priority: 9 }],
  };
  const first = insideAfter(emptyInside, [
    addRoute("container", { dst: "0.0.0.0/0", gw: "10.7.7.1" }, "eth1"),
    addAddress("container", "10.1.2.3/24", "eth0"),
    // The route exists already, so this step is skipped.
    { ...addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0"), onError: "ignore-exists" },
  ]);
  const text = show(plan({}, first, two).steps);
  assert.match(text, /route replace 0\.0\.0\.0\/0 via 10\.1\.2\.1 dev eth0 table 100\n/);
  assert.match(text, /route replace ::\/0 via fd00::1 dev eth0 metric 9 table 101\n/);
  assert.doesNotMatch(text, /route del 0\.0\.0\.0/);
});

test("a route by several next hops moves, and leaves the main table, as one (plugins#601)", () => {
  const seen = insideAfter(emptyInside, [
    addAddress("container", "10.1.2.3/24", "eth0"),
    addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0", ["10.1.2.9"]),
  ]);
  const text = show(plan({}, seen).steps);
  assert.match(
    text,
    /replace 0\.0\.0\.0\/0 table 100 nexthop via 10\.1\.2\.1 dev eth0 nexthop via 10\.1\.2\.9 dev eth0\n/,
  );
  assert.match(text, /route del 0\.0\.0\.0\/0 dev eth0\n/);
  assert.equal(text.match(/route del 0\.0\.0\.0/g)!.length, 1);
});
