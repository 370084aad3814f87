import assert from "node:assert/strict";
import { test } from "node:test";
import type { Attachment } from "../../plan/attachment.ts";
import { show } from "../../plan/step.ts";
import * as loopback from "./loopback.ts";

const at = { ifname: "eth0", netns: "/n" } as Attachment;

test("lo goes up whatever name is asked for, and down at the end", () => {
  const { steps, result } = loopback.link(loopback.parse(), at);
  assert.equal(show(steps), "container: ip link set dev lo up");
  assert.deepEqual(steps.map((step) => "undo" in step && step.undo), ["link set dev lo down"]);
  assert.deepEqual(result, {
    interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: "/n" }],
    ips: [{ address: "127.0.0.1/8", interface: 0 }, { address: "::1/128", interface: 0 }],
    routes: [],
    dns: {},
  });
  assert.deepEqual(loopback.address({}, at, {}, result), { steps: [], result });
  assert.deepEqual(loopback.sight(), {});
});
