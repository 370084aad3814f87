import assert from "node:assert/strict";
import { test } from "node:test";
import { cacheFile, formatCache, parseCache } from "./cache.ts";

const name = { networkName: "net", containerId: "c1", ifName: "eth0" };
const result = { cniVersion: "1.0.0", ips: [{ address: "10.1.1.2/24" }] };

test("an entry's file is named for network, container and interface", () => {
  assert.equal(cacheFile(name), "net-c1-eth0");
});

test("an entry has libcni's keys in libcni's order, the configuration in base64, and nothing that is empty", () => {
  assert.equal(
    formatCache({ ...name, config: '{"name":"net"}', cniArgs: [], capabilityArgs: {}, result }),
    '{"kind":"cniCacheV1","containerId":"c1","config":"eyJuYW1lIjoibmV0In0=","ifName":"eth0","networkName":"net",' +
      '"result":{"cniVersion":"1.0.0","ips":[{"address":"10.1.1.2/24"}]}}',
  );
  const full = {
    ...{ ...name, netns: "/run/netns/box", config: "", result },
    ...{ cniArgs: [["IP", "10.1.1.9"]] as const, capabilityArgs: { mac: "02:00:00:00:00:01" } },
  };
  assert.deepEqual(Object.keys(JSON.parse(formatCache(full))), [
    ...["kind", "containerId", "config", "ifName", "networkName", "netns", "cniArgs", "capabilityArgs"],
    "result",
  ]);
});

test("an entry that was written is read again, whatever is in the configuration and however long it is", () => {
  for (const config of ["", "{}", '{"x":"ä€😀\\u0000"}', " ".repeat(300_000)]) {
    const entry = {
      ...{ ...name, netns: "/n", config, result },
      cniArgs: [["K", "V"], ["K", "W"]] as const,
      capabilityArgs: { portMappings: [{ hostPort: 1 }] },
    };
    assert.deepEqual(parseCache(formatCache(entry)), entry);
  }
});

test("an entry of libcni 1.1.2 is read, which has no namespace, nor what was not given", () => {
  const text =
    '{"kind":"cniCacheV1","containerId":"c1","config":"e30=","ifName":"eth0","networkName":"net",' +
    '"result":{"cniVersion":"0.4.0"}}';
  assert.deepEqual(parseCache(text), {
    ...{ ...name, config: "{}", cniArgs: [], capabilityArgs: {}, result: { cniVersion: "0.4.0" } },
  });
});

test("null is as good as nothing, and pairs that are none are passed over", () => {
  const entry = parseCache(
    '{"kind":"cniCacheV1","cniArgs":null,"capabilityArgs":null,"config":null,"result":null}',
  );
  assert.deepEqual(entry, {
    ...{ containerId: "", ifName: "", networkName: "", config: "" },
    ...{ cniArgs: [], capabilityArgs: {}, result: undefined },
  });
  const pairs = parseCache('{"kind":"cniCacheV1","cniArgs":[["A","1"],["B"],"C",[1,2]]}')!.cniArgs;
  assert.deepEqual(pairs, [["A", "1"]]);
});

test("a bare result is what old versions kept; of another kind nothing is known", () => {
  const legacy = parseCache(JSON.stringify(result), name);
  assert.deepEqual(legacy, { ...name, config: "", cniArgs: [], capabilityArgs: {}, result });
  assert.equal(parseCache(JSON.stringify(result)), undefined);
  assert.equal(parseCache('{"kind":"cniCacheV9"}', name), undefined);
});

test("what is no entry is refused", () => {
  assert.throws(() => parseCache("", name), { message: "Cannot read cache file: it is not JSON" });
  assert.throws(() => parseCache("[]", name), {
    message: "Cannot read cache file: it is a list, not an object",
  });
  assert.throws(() => parseCache('{"kind":"cniCacheV1","config":"%"}'));
  assert.throws(() => parseCache('{"kind":"cniCacheV1","cniArgs":"IP=1"}'));
});
