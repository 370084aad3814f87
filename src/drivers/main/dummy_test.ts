import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { show } from "../../plan/step.ts";
import * as dummy from "./dummy.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};

test("the link leads nowhere, and has the lease's addresses and dns", () => {
  const conf = dummy.parse(fields({ ipam: { type: "static" } }));
  assert.deepEqual(dummy.lookups(), {});
  const made = dummy.link(conf, at);
  const lease = { ips: [{ address: "10.1.2.3/24" }], routes: [], dns: { domain: "x" }, claims: [] };
  const { steps, result } = dummy.address(conf, at, lease, made.result);
  assert.equal(
    show([...made.steps, ...steps]),
    `ip link add name vetha1a1a1a1a1a address 02:b2:b2:b2:b2:b2 netns /proc/7/ns/net type dummy
container: ip link show dev vetha1a1a1a1a1a
container: ip link set dev vetha1a1a1a1a1a name eth0
container: ip link property add dev eth0 altname vetha1a1a1a1a1a
container: ip address replace 10.1.2.3/24 dev eth0 brd +
container: ip link set dev eth0 up`,
  );
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "02:b2:b2:b2:b2:b2", sandbox: "/proc/7/ns/net" }],
    ips: [{ address: "10.1.2.3/24", interface: 0 }],
    routes: [],
    dns: { domain: "x" },
  });
});

test("without addresses it is refused in the reference's words", () => {
  assert.throws(() => dummy.parse(fields({})), {
    code: 999,
    message: "dummy interface requires an IPAM configuration",
  });
});
