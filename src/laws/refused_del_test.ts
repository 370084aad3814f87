import assert from "node:assert/strict";
import { test } from "node:test";
import { add } from "../features/cni_plugin/add.ts";
import { contextOf } from "../features/cni_plugin/call.ts";
import { del } from "../features/cni_plugin/del.ts";
import { dumpOf, newHost, state } from "./machine.ts";

/** What each type refuses in its configuration. */
const refused: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["bandwidth", { ingressRate: "fast" }],
  ["bridge", { vlan: 5000, ipam: { type: "host-local", subnet: "10.1.1.0/24" } }],
  ["bridge", { ipam: { type: "host-local", subnet: "10.1.1.0" } }],
  ["bridge", { ipam: 7 }],
  ["bridge", { ipam: { type: "../x" } }],
  ["firewall", { prevResult: 7 }],
  ["portmap", { prevResult: { ips: [{ address: "x" }] } }],
  ["dummy", { mtu: "large" }],
  ["firewall", { ingressPolicy: "shut" }],
  ["host-device", { device: 7 }],
  ["ipvlan", { mode: "l9" }],
  ["macvlan", { mode: "odd" }],
  ["portmap", { conditionsV4: ["-m", "set", "--match-set", "x", "src"] }],
  ["portmap", { backend: "ipfw" }],
  ["ptp", { mtu: "large" }],
  ["sbr", { table: "x" }],
  ["tap", { owner: "x" }],
  ["tuning", { mac: 7 }],
  ["vlan", { master: "eth0", vlanId: "x" }],
  ["vrf", { vrfname: 7 }],
];

test("DEL succeeds, and touches nothing, by a configuration that ADD refuses (cni#830)", async () => {
  const fake = newHost();
  fake.addNamespace("box");
  const before = dumpOf(fake);
  const environment = { containerId: "c1", ifname: "eth0", args: "", path: [], netnsOverride: false };
  const prevResult = { cniVersion: "1.1.0", interfaces: [], ips: [] };
  for (const [type, conf] of refused) {
    const contextFor = (command: "ADD" | "DEL") =>
      contextOf(fake.world, state, {
        ...{ type, command, network: "blue", version: "1.1.0" },
        request: { cniVersion: "1.1.0", name: "blue", type, prevResult, ...conf },
        environment: { ...environment, command, netns: "/run/netns/box" },
      });
    await assert.rejects(async () => await add(await contextFor("ADD")), `${type} ${JSON.stringify(conf)}`);
    await del(await contextFor("DEL"));
    assert.deepEqual(dumpOf(fake), before, type);
  }
});
