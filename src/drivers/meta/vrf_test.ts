import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside, type Inside, insideAfter, type InsideLink } from "../../plan/inside.ts";
import { addAddress, addRoute } from "../../plan/ip.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show, type Step } from "../../plan/step.ts";
import * as vrf from "./vrf.ts";

const at = { ifname: "eth0" } as Attachment;
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "cni0" }, { name: "eth0", sandbox: "/n" }],
  ips: [{ address: "10.1.2.3/24", interface: 1 }, { address: "fd00::3/64", interface: 1 }],
};
const inside = insideAfter(emptyInside, [
  addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0"),
  addAddress("container", "10.1.2.3/24", "eth0"),
  addAddress("container", "fd00::3/64", "eth0"),
  addAddress("container", "10.7.7.7/24", "eth1"),
]);

function withLinks(...links: readonly InsideLink[]): Inside {
  return { ...inside, links: new Map(links.map((link) => [link.name, link])) };
}

function plan(conf: Record<string, unknown>, seen = inside) {
  const look: HostState = { links: new Map(), sysctls: new Map(), inside: seen };
  return vrf.plan(vrf.parse(fields(conf)), at, made, look);
}

const restored = `container: ip link set dev blue up
container: ip link set dev eth0 master blue
container: ip address replace fd00::3/64 dev eth0 nodad
container: ip route replace 10.1.2.0/24 dev eth0 proto kernel scope link src 10.1.2.3 table N
container: ip route replace fd00::/64 dev eth0 proto kernel metric 256 table N
container: ip route replace 0.0.0.0/0 via 10.1.2.1 dev eth0 table N`;

test("the first interface makes the VRF, and takes its addresses and routes along", () => {
  const { steps, result } = plan({ vrfname: "blue" });
  const [removal, ...others] = steps;
  assert.equal(
    show(others),
    `container: ip link add name blue type vrf table 1\n${restored.replaceAll("table N", "table 1")}`,
  );
  assert.match(show([removal!]), /^container: at the end: sh -c .* ip link del dev "\$1" sh blue$/);
  assert.equal(undoOf(others[2]), "link set dev eth0 nomaster");
  assert.equal(result, made);
});

function undoOf(step: Step | undefined) {
  return step && "undo" in step ? step.undo : undefined;
}

test("others join it, whether they name its table or not", () => {
  const seen = withLinks({ name: "blue", kind: "vrf", table: 5 });
  for (const table of [undefined, 0, 5]) {
    const { steps } = plan({ vrfname: "blue", table }, seen);
    assert.equal(show(steps.slice(1)), restored.replaceAll("table N", "table 5"));
  }
});

test("a route that another interface of the VRF has is left to it", () => {
  const seen = withLinks({ name: "blue", kind: "vrf", table: 5 });
  const other = { dst: "0.0.0.0/0", dev: "eth9", table: 5, attributes: [["via", "10.9.9.9"]] as const };
  const text = show(plan({ vrfname: "blue" }, { ...seen, routes: [...seen.routes, other] }).steps);
  assert.doesNotMatch(text, /0\.0\.0\.0\/0/);
  assert.match(text, /route replace 10\.1\.2\.0\/24 /);
});

test("the table is the one that is asked for, or the lowest that no VRF has", () => {
  const seen = withLinks({ name: "a", kind: "vrf", table: 1 }, { name: "b", kind: "vrf", table: 3 });
  assert.match(show(plan({ vrfname: "blue" }, seen).steps), /link add name blue type vrf table 2\n/);
  assert.match(show(plan({ vrfname: "blue", table: 42 }, seen).steps), /type vrf table 42\n/);
});

test("what cannot be is refused", () => {
  const blue = { name: "blue", kind: "vrf", table: 5 };
  const rows: readonly (readonly [Record<string, unknown>, Inside, string])[] = [
    [{}, inside, "configuration is expected to have a valid vrf name"],
    [{ vrfname: "a b" }, inside, "configuration is expected to have a valid vrf name"],
    [{ vrfname: "blue", table: 6 }, withLinks(blue), "VRF blue already exist with different routing table 5"],
    [
      { vrfname: "blue" },
      withLinks({ name: "blue", kind: "veth" }),
      "link blue already exists and is not a VRF",
    ],
    [
      { vrfname: "blue" },
      withLinks({ name: "eth0", master: "red" }),
      "interface eth0 has already a master set: red",
    ],
  ];
  for (const [conf, seen, message] of rows) assert.throws(() => plan(conf, seen), { message });
  const again = withLinks(blue, { name: "eth0", master: "blue" });
  assert.equal(plan({ vrfname: "blue" }, again).steps.length, 7, "it may be in it already");
});

test("where nothing is written down, it leaves the VRF that it is in, and no other", () => {
  const undone = (...links: readonly InsideLink[]) => {
    const look: HostState = { links: new Map(), sysctls: new Map(), inside: withLinks(...links) };
    return vrf.unrecorded(vrf.parse(fields({ vrfname: "blue" })), at, made, look).map(undoOf).map((undo) =>
      typeof undo === "string" ? undo : undo?.at(-1)
    );
  };
  const blue = { name: "blue", kind: "vrf", table: 5 };
  assert.deepEqual(undone(blue, { name: "eth0", master: "blue" }), ["blue", "link set dev eth0 nomaster"]);
  assert.deepEqual(undone(blue, { name: "eth0", master: "red" }), ["blue"]);
  assert.deepEqual(undone({ name: "blue", kind: "bridge" }, { name: "eth0", master: "blue" }), []);
  assert.deepEqual(undone(), []);
});

test("an interface that has left its VRF is lost", () => {
  const drift = (seen: Inside) =>
    vrf.checkDrift(vrf.parse(fields({ vrfname: "blue" })), at, made, {
      links: new Map(),
      sysctls: new Map(),
      inside: seen,
    });
  assert.equal(drift(withLinks({ name: "eth0", master: "blue" })), undefined);
  assert.equal(drift(withLinks({ name: "eth0" })), "interface eth0 is not in VRF blue");
});

test("a default route that another network's has kept out of the main table is in the VRF's (multus#706)", () => {
  const first = insideAfter(emptyInside, [
    addRoute("container", { dst: "0.0.0.0/0", gw: "10.7.7.1" }, "eth1"),
    addAddress("container", "10.1.2.3/24", "eth0"),
  ]);
  const look: HostState = { links: new Map(), sysctls: new Map(), inside: first };
  const two = { ...made, routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }, { dst: "::/0", gw: "fd00::1" }] };
  const text = show(vrf.plan(vrf.parse(fields({ vrfname: "blue" })), at, two, look).steps);
  assert.match(text, /route replace 0\.0\.0\.0\/0 via 10\.1\.2\.1 dev eth0 table 1\n/);
  assert.match(text, /route replace ::\/0 via fd00::1 dev eth0 table 1$/);
});
