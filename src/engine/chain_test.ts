import assert from "node:assert/strict";
import { test } from "node:test";
import type { PluginConf } from "../wire/cni/network_list.ts";
import type { Attachment } from "../plan/attachment.ts";
import { lookupsOf, parseChain } from "./chain.ts";

test("a chain's plugins say together what to look at, each thing once", () => {
  const chain = parseChain([{ type: "bridge", isGateway: true }, { type: "bridge", bridge: "br1" }, {
    type: "portmap",
  }], {});
  assert.deepEqual(chain.map(({ role }) => role), ["main", "main", "meta"]);
  const args = new Map<string, string>();
  const at = { containerId: "c1", networkDigest: "c3".repeat(64), args } as unknown as Attachment;
  assert.deepEqual(lookupsOf([{ chain, at }]), {
    links: [],
    names: [],
    ownBridges: [{ name: "cni0", mac: "02:c3:c3:c3:c3:c3" }, { name: "br1", mac: "02:c3:c3:c3:c3:c3" }],
    sysctls: ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"],
    defaultMaster: false,
    advertised: true,
    devices: [],
    files: [],
    reached: [],
    inside: false,
    insideSysctls: [],
    answers: [],
    agent: [],
  });
  assert.deepEqual(lookupsOf([]), {
    links: [],
    names: [],
    ownBridges: [],
    sysctls: [],
    defaultMaster: false,
    advertised: false,
    devices: [],
    files: [],
    reached: [],
    inside: false,
    insideSysctls: [],
    answers: [],
    agent: [],
  });
});

test("what an ipam object lacks is filled in, however its key is spelt", () => {
  const ipam = { type: "host-local", subnet: "10.1.2.0/24" };
  const dirOf = (conf: Record<string, unknown>) => {
    const [parsed] = parseChain([{ type: "bridge", ...conf } as PluginConf], { dataDir: "/s" });
    return parsed?.role === "main" && (parsed.ipam?.conf as { dataDir: string }).dataDir;
  };
  assert.equal(dirOf({ ipam }), "/s");
  assert.equal(dirOf({ IPAM: ipam }), "/s");
  assert.equal(dirOf({ ipam: { ...ipam, dataDir: "/own" } }), "/own");
});

test("a type that is not ours, or not in its place, is refused", () => {
  for (const type of ["nothing", "constructor", "__proto__", "../bridge"]) {
    assert.throws(() => parseChain([{ type }], {}), {
      code: 7,
      message: new RegExp(
        `^Cannot use plugin type "${type}": it is not one of ours \\(.*bridge.*portmap.*\\)$`,
      ),
    });
  }
  assert.throws(() => parseChain([{ type: "host-local" }], {}), {
    message: 'Cannot use plugin type "host-local": it gives addresses, and stands in the "ipam" of another',
  });
  for (const type of ["bridge", "dhcpx", "constructor"]) {
    assert.throws(() => parseChain([{ type: "bridge", ipam: { type } }], {}), {
      code: 7,
      message: new RegExp(`^Cannot use plugin type "${type}": it is not one of ours \\(.*host-local.*\\)$`),
    });
  }
});
