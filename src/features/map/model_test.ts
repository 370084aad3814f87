import assert from "node:assert/strict";
import { test } from "node:test";
import type { Description } from "../container/describe.ts";
import type { Network } from "../networks/catalog.ts";
import type { NetworkEndpoint } from "../networks/endpoints.ts";
import { mapOf } from "./model.ts";

/** A network with one plugin; without one it is a mode. */
function network(name: string, plugin?: { readonly type: string; readonly [key: string]: unknown }): Network {
  return {
    ...{ name, id: "", driver: plugin?.type ?? name, created: "", ipv4: true, ipv6: false },
    ...{ internal: plugin?.["internal"] === true, attachable: false, labels: {}, options: {} },
    ...{ ipam: [{ Subnet: "10.5.0.0/24", Gateway: "10.5.0.1" }], predefined: false },
    ...(plugin
      ? { list: { name, cniVersion: "1.0.0", plugins: [plugin] } as unknown as Network["list"] }
      : {}),
  } as Network;
}

/** A container with interfaces eth0, eth1 … on networks, which plugins or uplinks made. */
function container(
  id: string,
  networks: Readonly<Record<string, string>>,
  drivers: readonly string[] = [],
): Description {
  return {
    ...{ id, created: "", state: "up", netns: "/run/netns/x" },
    networks: Object.entries(networks).map(([name, by], i) => ({
      ...{ name, ifname: `eth${i}`, by, ips: [`10.5.0.${i + 2}/24`], gateways: [], nameservers: [] },
      routes: name === "cluster" ? [{ dst: "0.0.0.0/0" }] : [],
    })),
    ports: drivers.map((driver) => ({
      ...{ mapping: "8080:80/tcp", hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" },
      ...{ driver, keepsClientAddress: true },
    })),
  };
}

function endpoint(network: string, container: string, ifname: string): NetworkEndpoint {
  return {
    ...{ network, container, ifname, endpointId: "", mac: "02:00:00:00:00:01" },
    ...{ ipv4: "10.7.0.2/24", ipv6: "", addresses: ["10.7.0.2"], isRunning: true },
  };
}

const networks = [
  network("shop", { type: "bridge", bridge: "br0", ipMasq: true }),
  network("back", { type: "bridge", bridge: "br1", internal: true }),
  network("open", { type: "bridge", bridge: "br2" }),
  network("lan", { type: "macvlan", master: "eth1" }),
  network("lan2", { type: "ipvlan" }),
  network("cluster", { type: "overlay" }),
  network("closed", { type: "overlay" }),
  network("host"),
  network("none"),
];

function known(containers: readonly Description[], endpoints: readonly NetworkEndpoint[] = [], all = false) {
  return mapOf({ host: "bookworm", networks, containers, endpoints, all });
}

test("a map has the networks that are used, or all", () => {
  const box = container("box", { shop: "bridge" });
  assert.deepEqual(known([box]).networks, [{
    ...{ name: "shop", driver: "bridge", scope: "local", internal: false, known: true, link: "br0" },
    subnets: [{ subnet: "10.5.0.0/24", gateway: "10.5.0.1" }],
  }]);
  assert.deepEqual(known([box], [], true).networks.map(({ name }) => name), networks.map(({ name }) => name));
  assert.deepEqual(known([]), { host: "bookworm", networks: [], containers: [], ports: [], ways: [] });
});

test("each network has its way to the world", () => {
  const all = { shop: "bridge", back: "bridge", open: "bridge", lan: "macvlan", lan2: "ipvlan" };
  const box = container("box", { ...all, cluster: "overlay", closed: "overlay" });
  assert.deepEqual(known([box], [], true).ways, [
    { network: "shop", kind: "masquerade" },
    { network: "back", kind: "internal" },
    { network: "open", kind: "routed" },
    { network: "lan", kind: "link", link: "eth1" },
    { network: "lan2", kind: "link" },
    { network: "cluster", kind: "masquerade" },
    { network: "closed", kind: "internal" },
    { network: "host", kind: "host" },
    { network: "none", kind: "none" },
  ]);
});

test("an uplink is a way for those that it connects, and opens no internal network", () => {
  const rootless = container("a", { shop: "slirp4netns" }, ["slirp4netns"]);
  assert.deepEqual(known([rootless]).ways, [{ network: "shop", kind: "uplink", by: "slirp4netns" }]);
  assert.deepEqual(known([rootless, container("b", { shop: "bridge" })]).ways, [
    { network: "shop", kind: "masquerade" },
    { network: "shop", kind: "uplink", by: "slirp4netns" },
  ]);
  assert.deepEqual(known([container("c", { back: "pasta" })]).ways, [{ network: "back", kind: "internal" }]);
  const { network, by, container: id } = known([rootless]).ports[0]!;
  assert.deepEqual({ network, by, id }, { network: "shop", by: "slirp4netns", id: "a" });
});

test("ports lead by the network that masquerades, or else by the last", () => {
  const networkOf = (on: Readonly<Record<string, string>>, driver: string) =>
    known([container("box", on, [driver])]).ports[0]!.network;
  assert.equal(networkOf({ back: "bridge", shop: "bridge", open: "bridge" }, "nftables"), "shop");
  assert.equal(networkOf({ back: "bridge", open: "bridge" }, "nftables"), "open");
  assert.equal(networkOf({ open: "bridge" }, "plugins"), "open");
  assert.equal(networkOf({ back: "bridge", open: "bridge" }, "plugins"), undefined);
  assert.equal(networkOf({}, "nftables"), undefined);
});

test("what a CNI runtime attached beside is there, and a network without a file", () => {
  const box = container("box", { shop: "bridge" });
  const map = known([box], [endpoint("shop", "box", "eth0"), endpoint("lost", "box", "net1")]);
  assert.deepEqual(map.containers[0]!.interfaces, [
    { network: "shop", ifname: "eth0", by: "bridge", ips: ["10.5.0.2/24"] },
    { network: "lost", ifname: "net1", by: "", mac: "02:00:00:00:00:01", ips: ["10.7.0.2/24"] },
  ]);
  assert.deepEqual(map.networks[1], {
    ...{ name: "lost", driver: "", scope: "local", internal: false, subnets: [], known: false },
  });
  assert.deepEqual(map.ways[1], { network: "lost", kind: "unknown" });
});
