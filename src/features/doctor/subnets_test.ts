import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { addAddress, addLink, mainTable, namespaceOf, setUp } from "../../host/fake/kernel.ts";
import { subnetChecks } from "./subnets.ts";

const network = (name: string, main: object, ...subnets: readonly string[]) =>
  JSON.stringify({
    ...{ cniVersion: "1.0.0", name },
    plugins: [{ ...main, ipam: { type: "host-local", ranges: subnets.map((subnet) => [{ subnet }]) } }],
  });

test("doctor tells of addresses and routes of the host within a network's subnet, on other links than its own", async () => {
  const fake = newFake();
  const host = namespaceOf(fake.kernel, fake.kernel.own);
  const addUp = (name: string, kind = "") => {
    const link = addLink(fake.kernel, host, name, kind);
    setUp(host, link, true);
    return link;
  };
  const said = async () =>
    (await subnetChecks[0]!.look(fake.world)).map(({ found, remedy }) => `${found} -> ${remedy}`);
  const [eth0, br] = [addUp("eth0"), addUp("br5", "bridge")];
  const place = (name: string, ...rest: [object, ...string[]]) =>
    fake.place(`/etc/ocinet/net.d/${name}.conflist`, network(name, ...rest));
  place("shop", { type: "bridge", bridge: "br5", isGateway: true }, "10.5.0.0/24", "fd00:5::/64");
  place("plain", { type: "bridge", bridge: "br6" }, "10.6.0.0/24");
  place("lan", { type: "macvlan", master: "eth0" }, "10.7.0.0/24");
  place("pair", { type: "ptp" }, "10.8.0.0/24");
  const route = (dst: string, index: number) =>
    host.routes.push({ dst, index, table: mainTable, type: "unicast", attributes: [] });
  addAddress(host, br, "10.5.0.1/24");
  addAddress(host, addUp("veth0123456789a", "veth"), "10.8.0.1/32");
  // Of no network that the host routes to, or wider than the subnet.
  addAddress(host, eth0, "10.6.0.3/24");
  addAddress(host, eth0, "10.7.0.3/24");
  route("10.0.0.0/8", eth0.index);
  assert.deepEqual(await said(), []);
  addAddress(host, eth0, "10.5.0.77/24");
  addAddress(host, eth0, "fd00:5::7/128");
  route("10.5.0.128/26", eth0.index);
  route("10.8.0.0/24", eth0.index);
  const clash = (what: string, value: string, subnet: string, name: string) =>
    `the host has ${what} ${value} on link eth0, within subnet ${subnet} of network "${name}": it may not reach the ` +
    `network's containers -> ip ${what} delete ${value} dev eth0; or make the network again with another --subnet`;
  assert.deepEqual(await said(), [
    clash("route", "10.8.0.0/24", "10.8.0.0/24", "pair"),
    clash("address", "10.5.0.77/24", "10.5.0.0/24", "shop"),
    clash("route", "10.5.0.128/26", "10.5.0.0/24", "shop"),
    clash("address", "fd00:5::7/128", "fd00:5::/64", "shop"),
  ]);
});
