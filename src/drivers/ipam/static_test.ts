import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Ip } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import * as statik from "./static.ts";

function lease(conf: Record<string, unknown>, args: Readonly<Record<string, string>> = {}) {
  const at = { args: new Map(Object.entries(args)) } as unknown as Attachment;
  return statik.lease(statik.parse(fields(conf)), at);
}

const addresses = [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "FD00::3/64", Gateway: "" }];

test("addresses, routes and dns are the configuration's", () => {
  const routes = [{ dst: "10.9.1.1/16", gw: "10.1.2.254" }, { dst: "0.0.0.0/0", mtu: 1400 }];
  assert.deepEqual(lease({ ipam: { addresses, routes, dns: { nameservers: ["10.0.0.53"] } } }), {
    ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "fd00::3/64" }],
    routes: [{ dst: "10.9.0.0/16", gw: "10.1.2.254" }, { dst: "0.0.0.0/0", mtu: 1400 }],
    dns: { nameservers: ["10.0.0.53"] },
    claims: [],
  });
  assert.deepEqual(lease({ ipam: {} }), { ips: [], routes: [], dns: {}, claims: [] });
});

test("CNI_ARGS add addresses, and a gateway to each subnet it lies in", () => {
  const args = { IP: "10.1.3.3/24, 10.1.4.3/24", GATEWAY: "10.1.3.1,10.1.2.9" };
  assert.deepEqual(lease({ ipam: { addresses } }, args).ips, [
    { address: "10.1.2.3/24", gateway: "10.1.2.9" },
    { address: "fd00::3/64" },
    { address: "10.1.3.3/24", gateway: "10.1.3.1" },
    { address: "10.1.4.3/24" },
  ]);
});

test("args.cni replaces them all, and runtimeConfig replaces those", () => {
  const conf = { ipam: { addresses }, args: { cni: { ips: ["10.5.0.1/24"] } } };
  const args = { IP: "10.1.3.3/24" };
  assert.deepEqual(lease(conf, args).ips, [{ address: "10.5.0.1/24" }]);
  assert.deepEqual(lease({ ...conf, runtimeConfig: { ips: ["fd00::1/64", "10.6.0.1/24"] } }, args).ips, [
    { address: "fd00::1/64" },
    { address: "10.6.0.1/24" },
  ]);
  assert.deepEqual(lease({ ...conf, runtimeConfig: { ips: [] } }, args).ips, [{ address: "10.5.0.1/24" }]);
});

test("what is no address is refused in the reference's words, wherever it comes from", () => {
  const field = "the 'address' field is expected to be in CIDR notation, got:";
  const entry = "an entry in the 'ips' field is NOT in CIDR notation, got:";
  const rows: readonly (readonly [Record<string, unknown>, Record<string, string>, string])[] = [
    [{}, {}, "IPAM config missing 'ipam' key"],
    [{ ipam: { addresses: [{ address: "10.1.1.2" }] } }, {}, `${field} '10.1.1.2'`],
    [{ ipam: { addresses: [{}] } }, {}, `${field} ''`],
    [{ ipam: { addresses: [{ address: "10.1.1.2/24\nx" }] } }, {}, `${field} '10.1.1.2/24\nx'`],
    [{ ipam: { addresses: [{ address: "10.1.1.2/24", gateway: "x" }] } }, {}, "invalid gateway address: x"],
    [{ ipam: {}, runtimeConfig: { ips: ["10.1.1.2"] } }, {}, `${entry} '10.1.1.2'`],
    [{ ipam: {}, args: { cni: { ips: ["../x/24"] } } }, {}, `${entry} '../x/24'`],
    [{ ipam: {} }, { IP: "10.1.1.2" }, "the 'ip' field is expected to be in CIDR notation, got: '10.1.1.2'"],
    [{ ipam: {} }, { IP: "10.1.1.2/24", GATEWAY: "-1" }, "invalid gateway address: -1"],
  ];
  for (const [conf, args, message] of rows) assert.throws(() => lease(conf, args), { code: 999, message });
});

test("CHECK needs a result, whose gateways are those of the configuration", () => {
  const conf = statik.parse(
    fields({
      ipam: { addresses: [{ address: "10.1.1.9/24", gateway: "10.1.1.1" }, { address: "fd00::9/64" }] },
    }),
  );
  const at = { ifname: "eth0", args: new Map() } as unknown as Attachment;
  const drift = (...ips: readonly Ip[]) => statik.checkDrift(conf, at, {} as World, { ...emptyResult, ips });
  assert.equal(statik.checkDrift(conf, at, {} as World, undefined), "Required prevResult missing");
  assert.equal(drift({ address: "10.1.1.9/24", gateway: "10.1.1.1" }, { address: "fd00::9/64" }), undefined);
  assert.equal(drift({ address: "10.9.9.9/24" }), undefined);
  const problem = "static: Failed to match addr 10.1.1.9 on interface eth0";
  assert.equal(drift({ address: "10.1.1.9/24", gateway: "10.1.1.2" }), problem);
});
