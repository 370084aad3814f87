import assert from "node:assert/strict";
import { test } from "node:test";
import { addAddress, addRoute, removeRoute, route, setLink } from "./ip.ts";
import { emptyInside, type Inside, insideAfter, lookInside, parseInside } from "./inside.ts";
import { exec, line, type Step } from "./step.ts";

const links = `[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK"],"mtu":65536,"link_type":"loopback"},
{"ifindex":2,"link_index":7,"ifname":"eth0","flags":["BROADCAST","PROMISC","UP"],"mtu":1400,"txqlen":1000,
"address":"02:00:00:00:00:01","master":"blue","linkinfo":{"info_kind":"veth"},
"addr_info":[{"local":"10.1.2.3","prefixlen":24}]},
{"ifindex":4,"link":"eth0","ifname":"eth1","ifalias":"port1","linkinfo":{"info_kind":"macvlan","info_data":{"mode":"vepa"}}},
{"ifindex":3,"ifname":"blue","flags":[],"linkinfo":{"info_kind":"vrf","info_data":{"table":10}}}]`;
const routes4 = `[{"dst":"default","gateway":"10.1.2.1","dev":"eth0","flags":["onlink"],
"metrics":[{"mtu":1300,"advmss":1200,"rtt":10,"congestion":"reno"}]},
{"dst":"10.1.2.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.1.2.3","flags":[]},
{"dst":"10.9.9.9","dev":"eth0","scope":"link","table":"7","flags":[]},
{"type":"local","dst":"10.1.2.3","dev":"eth0","table":"local","protocol":"kernel","flags":[]}]`;
const routes6 =
  `[{"dst":"fd00::/64","dev":"eth0","protocol":"kernel","metric":256,"flags":[],"pref":"medium"}]`;
const rules = `[{"priority":0,"src":"all","table":"local"},{"priority":32765,"src":"10.1.2.3","table":"100"},
{"priority":32764,"src":"10.1.0.0","srclen":16,"table":"101"}]`;

test("the container's side is read from what ip prints of it", () => {
  assert.match(
    lookInside,
    /^ip -d -j address; for family in 4 6; do echo; echo --; printf 'route show table all\\nrule\\n' \|/,
  );
  const lines = [links, "--", routes4, rules, "--", routes6, "[]"].map((part) => part.replaceAll("\n", ""));
  const keys = ["net/core/somaxconn", "net/none", "net/ipv4/ip_local_port_range"];
  const inside = parseInside(lines.join("\n") + "\n--\n500\n--\n--\n1 2\n", keys);
  assert.deepEqual(inside.links.get("eth0"), {
    name: "eth0",
    altNames: undefined,
    mac: "02:00:00:00:00:01",
    mtu: 1400,
    queueLength: 1000,
    promiscuous: true,
    allMulticast: false,
    up: true,
    addresses: ["10.1.2.3/24"],
    linkIndex: 7,
    link: undefined,
    alias: undefined,
    kind: "veth",
    details: undefined,
    table: undefined,
    master: "blue",
  });
  assert.equal(inside.links.get("blue")?.table, 10);
  assert.deepEqual(showRoutes(inside), [
    "0.0.0.0/0 eth0 via 10.1.2.1 mtu 1300 advmss 1200 congctl reno onlink ",
    "10.1.2.0/24 eth0 proto kernel scope link src 10.1.2.3",
    "10.9.9.9/32 eth0 in 7 scope link",
    "fd00::/64 eth0 proto kernel metric 256",
  ]);
  const { kind, details, link, alias } = inside.links.get("eth1")!;
  assert.deepEqual([kind, details, link, alias], ["macvlan", { mode: "vepa" }, "eth0", "port1"]);
  assert.deepEqual(inside.rules, [{ from: "10.1.2.3", table: 100 }, { from: "10.1.0.0/16", table: 101 }]);
  assert.deepEqual([...inside.sysctls!], [[keys[0], "500"], [keys[2], "1 2"]]);
});

function showRoutes({ routes }: Inside): readonly string[] {
  return routes.map(({ dst, dev, table, attributes }) =>
    [dst, dev, ...(table === undefined ? [] : ["in", table]), ...attributes.flat()].join(" ")
  );
}

test("what is planned for the container counts as there, and what is planned for the host does not", () => {
  const rule = (from: string, table: number) =>
    line("ip", "container", { kind: "rule", from, table }, "rule add");
  const steps: readonly Step[] = [
    addAddress("container", "10.1.2.3/24", "eth0"),
    addAddress("container", "fd00::3/64", "eth0"),
    addAddress("container", "10.3.3.3/32", "eth0"),
    addAddress("container", "10.4.4.4/24", "eth0", "noprefixroute"),
    addAddress("host", "10.5.5.5/24", "veth1"),
    addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0"),
    addRoute("container", { dst: "10.6.0.0/16", gw: "10.1.2.1", table: 7 }, "eth0"),
    addRoute("container", { dst: "10.7.0.0/16", gw: "10.1.2.1" }, "eth0"),
    removeRoute("container", "10.7.0.0/16", "eth0", "10.1.2.1"),
    route("replace", "container", {
      ...{ dst: "10.8.0.0/16", dev: "eth0" },
      attributes: [["via", "10.9.9.9"], ["mtu", "1300"], ["onlink", ""]],
    }),
    rule("10.1.2.3/32", 100),
    exec("container", "rule", { id: { kind: "rule", from: "fd00::3/128", table: 101 }, run: ["ip"] }),
    line("ip", "container", { kind: "link", link: "blue", type: "vrf", table: 10 }, "link add name blue"),
    setLink("container", "eth0", "master", "blue"),
  ];
  const inside = insideAfter(emptyInside, steps);
  assert.deepEqual(showRoutes(inside), [
    "10.1.2.0/24 eth0 proto kernel scope link src 10.1.2.3",
    "fd00::/64 eth0 proto kernel metric 256",
    "0.0.0.0/0 eth0 via 10.1.2.1",
    "10.6.0.0/16 eth0 in 7 via 10.1.2.1",
    "10.8.0.0/16 eth0 via 10.9.9.9 mtu 1300 onlink ",
  ]);
  assert.deepEqual(inside.rules.map(({ table }) => table), [100, 101]);
  assert.deepEqual([...inside.links.values()], [
    { name: "blue", kind: "vrf", table: 10 },
    { name: "eth0", master: "blue" },
  ]);
});

test("a route by several next hops is one by each of them, as ip prints it and as it is planned", () => {
  const hops =
    '"nexthops":[{"gateway":"10.1.2.1","dev":"eth0","weight":1},{"gateway":"10.1.2.9","dev":"eth0","weight":1}]';
  const { routes } = parseInside(`[]\n--\n[{"dst":"default",${hops}}]\n[]\n--\n[]\n[]\n`);
  const wanted = ["10.1.2.1", "10.1.2.9"].map((via) => ({
    dst: "0.0.0.0/0",
    dev: "eth0",
    attributes: [["via", via]],
  }));
  assert.deepEqual(routes, wanted);
  const planned = [addRoute("container", { dst: "0.0.0.0/0", gw: "10.1.2.1" }, "eth0", ["10.1.2.9"])];
  assert.deepEqual(insideAfter(emptyInside, planned).routes, wanted);
});
