import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { delegateConf, delegateType, parse, savedAs, source } from "./flannel.ts";

const env = `FLANNEL_NETWORK=10.1.0.0/16
FLANNEL_SUBNET=10.1.17.1/24
FLANNEL_MTU=1472
FLANNEL_IPMASQ=true
`;

function render(more: Readonly<Record<string, unknown>> = {}, text: string | undefined = env): unknown {
  return delegateConf(parse(fields({ name: "cni-flannel", type: "flannel", ...more })), text);
}

test("flannel delegates to a bridge with addresses of the host's subnet", () => {
  assert.deepEqual(render({ cniVersion: "1.0.0" }), {
    cniVersion: "1.0.0",
    ipMasq: false,
    ipam: {
      routes: [{ dst: "10.1.0.0/16" }],
      ranges: [[{ subnet: "10.1.17.0/24" }]],
      type: "host-local",
    },
    isGateway: true,
    mtu: 1472,
    name: "cni-flannel",
    type: "bridge",
  });
  assert.deepEqual(render({}, env.replace("=true", "=false").replaceAll("\n", "\r\n")), {
    ...render() as object,
    ipMasq: true,
  });
});

test("flannel has networks of both families, each once", () => {
  const text = `${env.replace("10.1.0.0/16", "10.1.0.0/16,10.2.3.4/16,10.1.9.9/16")}
FLANNEL_IPV6_NETWORK=fd00::/48,FD00:0:1::/48
FLANNEL_IPV6_SUBNET=fd00:0:0:1::1/64`;
  assert.deepEqual((render({}, text) as { ipam: unknown }).ipam, {
    type: "host-local",
    ranges: [[{ subnet: "10.1.17.0/24" }], [{ subnet: "fd00:0:0:1::/64" }]],
    routes: ["10.1.0.0/16", "10.2.0.0/16", "fd00::/48", "fd00:0:1::/48"].map((dst) => ({ dst })),
  });
});

test("what is said of the delegate and of addresses outweighs flannel, but for the subnet", () => {
  const more = {
    delegate: { type: "macvlan", ipMasq: true, mtu: 1400, master: "eth7" },
    ipam: {
      type: "mine",
      dataDir: "/x",
      ranges: [[{ subnet: "10.9.0.0/24" }]],
      routes: [{ dst: "10.3.0.9/16" }],
    },
    runtimeConfig: { mac: "02:00:00:00:00:01" },
  };
  assert.deepEqual(render(more), {
    name: "cni-flannel",
    ...more.delegate,
    ipam: {
      type: "mine",
      dataDir: "/x",
      ranges: [[{ subnet: "10.1.17.0/24" }]],
      routes: [{ dst: "10.3.0.0/16" }, { dst: "10.1.0.0/16" }],
    },
    runtimeConfig: more.runtimeConfig,
  });
  const bridge = render({ delegate: { isGateway: false, isDefaultGateway: true, hairpinMode: true } });
  assert.deepEqual(bridge, {
    ...render() as object,
    isGateway: false,
    isDefaultGateway: true,
    hairpinMode: true,
  });
});

test("the files of flannel, and the delegate's type, are known without flanneld", () => {
  const plain = parse(fields({}));
  assert.deepEqual([delegateType(plain), source(plain), savedAs(plain, "c1")], [
    "bridge",
    "/run/flannel/subnet.env",
    "/var/lib/cni/flannel/c1",
  ]);
  const own = parse(fields({ subnetFile: "/a", dataDir: "/b", delegate: { type: "ptp" } }));
  assert.deepEqual([delegateType(own), source(own), savedAs(own, "c1")], ["ptp", "/a", "/b/c1"]);
});

test("flannel says what is wrong", () => {
  const set = "field, it'll be set by flannel";
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ delegate: { name: "x" } }, `'delegate' dictionary must not have 'name' ${set}`],
    [{ delegate: { ipam: {} } }, `'delegate' dictionary must not have 'ipam' ${set}`],
    [{ delegate: { type: 7 } }, "'delegate' dictionary, if present, must have (string) 'type' field"],
    [{ delegate: { type: "../x" } }, "'delegate' dictionary, if present, must have (string) 'type' field"],
    [{ dataDir: "x" }, 'Cannot use dataDir "x": it is not an absolute path'],
  ];
  for (const [conf, message] of rows) assert.throws(() => render(conf), { code: 7, message });
});

test("flannel says what is wrong with what flanneld says, or that it says nothing", () => {
  const loading = (problem: string) =>
    `failed to load flannel 'subnet.env' file: ${problem}. Check the flannel pod log for this node.`;
  const rows: readonly (readonly [string | undefined, string])[] = [
    [
      "",
      "/s is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ",
    ],
    [env.replace("FLANNEL_MTU=1472", ""), "/s is missing FLANNEL_MTU"],
    [env.replace("1472", "big"), 'strconv.ParseUint: parsing "big": invalid syntax'],
    [env.replace("10.1.17.1/24", "10.1.17.1"), "invalid CIDR address: 10.1.17.1"],
  ];
  for (const [text, problem] of rows) {
    assert.throws(() => render({ subnetFile: "/s" }, text), { code: 11, message: loading(problem) });
  }
  const missing = loading("open /s: no such file or directory");
  assert.throws(() => delegateConf(parse(fields({ subnetFile: "/s" })), undefined), {
    code: 11,
    message: missing,
  });
});
