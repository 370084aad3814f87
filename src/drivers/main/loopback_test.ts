import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyResult } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import * as loopback from "./loopback.ts";

const at = { ifname: "eth0", netns: "/n" } as Attachment;

function seeing(disabled: string): HostState {
  return { links: new Map(), sysctls: new Map([["net/ipv6/conf/all/disable_ipv6", disabled]]) };
}

test("lo goes up whatever name is asked for, and down at the end", () => {
  const { steps, result } = loopback.link({}, at, seeing("0"));
  assert.equal(show(steps), "container: ip link set dev lo up");
  assert.deepEqual(steps.map((step) => "undo" in step && step.undo), ["link set dev lo down"]);
  assert.deepEqual(result, {
    interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: "/n" }],
    ips: [{ address: "127.0.0.1/8", interface: 0 }, { address: "::1/128", interface: 0 }],
    routes: [],
    dns: {},
  });
  assert.deepEqual(loopback.address({}, at, {}, result), { steps: [], result });
  assert.deepEqual(loopback.lookups(), { sysctls: ["net/ipv6/conf/all/disable_ipv6"] });
});

test("a kernel without IPv6 gives lo one address, and in a chain the result is that of the others", () => {
  assert.deepEqual(loopback.link({}, at, seeing("")).result.ips, [{ address: "127.0.0.1/8", interface: 0 }]);
  const before = { ...emptyResult, ips: [{ address: "10.1.1.2/24" }] };
  assert.equal(loopback.link({}, at, seeing("0"), before).result, before);
});

test("CHECK is content with lo being up", () => {
  const { result } = loopback.link({}, at, seeing("0"));
  assert.deepEqual(loopback.lasting({}, result).ips, []);
  assert.equal(loopback.lasting({}, result).interfaces.length, 1);
  assert.equal(loopback.checkDrift({}, at, result, seeing("0")), 'container interface "lo" is down');
});
