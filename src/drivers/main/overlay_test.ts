import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import { writeAnswer } from "../../wire/overlay/requests.ts";
import type { Lease } from "../plugin.ts";
import * as overlay from "./overlay.ts";

const at: Attachment = {
  ...{ containerId: "c1", network: "shop", ifname: "eth0", netns: "/proc/7/ns/net" },
  ...{ digest: "a1".repeat(64), networkDigest: "c3".repeat(64), args: new Map() },
};
const lease: Lease = {
  ips: [{ address: "10.9.0.3/24", gateway: "10.9.0.1" }, { address: "fd00:9::3/64", gateway: "fd00:9::1" }],
  ...{ routes: [], dns: {}, claims: [] },
};
const conf = overlay.parse(fields({ type: "overlay", name: "shop", ipam: { type: "cluster" } }));

function seeing(answer: string | undefined): HostState {
  const request = overlay.lookups(conf, at).agent![0]!;
  const sysctls = new Map([["net/ipv4/ip_forward", "1"], ["net/ipv6/conf/all/forwarding", "1"]]);
  return {
    ...{ links: new Map(), sysctls },
    ...(answer === undefined ? {} : { answers: new Map([[request, answer]]) }),
  };
}

function joined(internal = false): HostState {
  return seeing(
    writeAnswer({ value: { bridge: "ov1", mac: "02:6f:0a:09:00:05", mtu: 1450, internal } }),
  );
}

test("a container is put on the bridge that the agent has made, with the MAC address of its address", () => {
  const seen = joined();
  const link = overlay.link(conf, at, seen);
  const { steps, result } = overlay.address(conf, at, lease, link.result, seen);
  const lines = show([...link.steps, ...steps]).split("\n");
  const mac = "02:6f:0a:09:00:03";
  assert.equal(result.interfaces[2]!.mac, mac);
  assert.equal(result.interfaces[0]!.name, "ov1");
  assert.equal(lines.some((line) => line.includes("type bridge ") || line.endsWith("type bridge")), false);
  const at1 = lines.findIndex((line) => line === `container: ip link set dev eth0 address ${mac}`);
  const up = lines.findIndex((line) => line === "container: ip link set dev eth0 up");
  assert.ok(at1 >= 0 && at1 < up);
  assert.ok(lines[0]!.includes(" mtu 1450 master ov1 type veth "));
  assert.ok(lines.includes(`bridge fdb replace ${mac} dev vetha1a1a1a1a1a master static`));
  assert.ok(lines.includes('nft add element bridge ocinet guarded { "vetha1a1a1a1a1a" }'));
  assert.ok(lines.includes("container: ip route add 0.0.0.0/0 via 10.9.0.1 dev eth0"));
  assert.ok(lines.some((line) => line.includes("masquerade4")));
});

test("an internal network leads nowhere", () => {
  const seen = joined(true);
  const link = overlay.link(conf, at, seen);
  const lines = show(overlay.address(conf, at, lease, link.result, seen).steps);
  assert.doesNotMatch(lines, /route add|masquerade4/);
});

test("without the agent a container's start fails with the remedy; the agent's own reasons are passed on", () => {
  const away = writeAnswer({ error: 'Cannot ask the agent: start it with "ocinet agent"', code: 50 });
  assert.throws(() => overlay.link(conf, at, seeing(away)), {
    code: 50,
    message: 'Cannot ask the agent: start it with "ocinet agent"',
  });
  assert.throws(
    () => overlay.link(conf, at, seeing(writeAnswer({ error: "Cannot reach etcd" }))),
    /^CniError: Cannot reach etcd$/,
  );
  for (const answer of [undefined, "", "{", "[]", '{"value":{"bridge":"a b","mac":"x","mtu":1}}']) {
    assert.throws(
      () => overlay.link(conf, at, seeing(answer)),
      /^Error: (Cannot read|the agent gave no answer)/,
    );
  }
});

test("a MAC address is not to be chosen: the other hosts know a container by its address", () => {
  const seen = joined();
  const link = overlay.link(conf, at, seen);
  const wanted = { ...at, args: new Map([["MAC", "02:00:00:00:00:07"]]) };
  assert.throws(() => overlay.address(conf, wanted, lease, link.result, seen), {
    code: 7,
    message: /that follows from the address, and is 02:6f:0a:09:00:03$/,
  });
});
