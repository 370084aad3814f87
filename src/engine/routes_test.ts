import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import {
  addressesSeenBy,
  advertisedLinks,
  defaultLink,
  defaultMtu,
  hasDefaultRoute,
  hasIpv6,
  isHostAddress,
  overlap,
  readRoutes,
  routeTo,
  subnetOf,
} from "./routes.ts";

const none = "0".repeat(32);
const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

function row4(link: string, to: string, mask: string): string {
  return `${`${link}\t${to}\t010200C0\t0003\t0\t0\t0\t${mask}\t0\t0\t0`.padEnd(127)}\n`;
}

function row6(to: string, length: string, link: string, flags = "00000003"): string {
  return `${to.padEnd(32, "0")} ${length} ${none} 00 ${none} 00000400 00000001 00000000 ${flags} ${
    link.padStart(8)
  }\n`;
}

const [default4, default6] = [row4("eth0", "00000000", "00000000"), row6("", "00", "eth6")];
/** Tables longer than what is read. */
const [long4, long6] = [
  row4("cni0", "0001010A", "00FFFFFF").repeat(1000),
  row6("2001", "40", "cni0").repeat(1000),
];

/** A World with files, in which `ip` answers the last command. */
function having(files: Readonly<Record<string, string>>, says: Readonly<Record<string, string>> = {}) {
  const read = (name: string) => files[name.replace(/^\/proc\/self\/net\//, "")];
  const ran: string[] = [];
  const answer = (words: string) => {
    ran.push(words);
    return says[words] ?? "";
  };
  const world: Partial<World> = {
    read,
    readStart: (path, bytes) => read(path)?.slice(0, bytes),
    run: (argv, { stdin = "" } = {}) =>
      Promise.resolve({ code: 0, stdout: answer((stdin || argv.join(" ")).trim()), stderr: "" }),
    ask: (argv) => answer(argv.join(" ")),
    hasAddress: (address) => Promise.resolve(address === "192.0.2.1"),
  };
  return { world: world as World, ran };
}

test("the default route's link is IPv4's, which comes first in a table however long, or else IPv6's", async () => {
  const linkWith = async (route: string, ipv6_route: string, says = {}) => {
    const { world, ran } = having({ route: header + route, ipv6_route }, says);
    return [await defaultLink(world), ...ran];
  };
  assert.deepEqual(await linkWith(default4 + long4, default6), ["eth0"]);
  assert.deepEqual(await linkWith(row4("*", "00000000", "00000000"), row6("fe80", "40", "eth1") + default6), [
    "eth6",
  ]);
  assert.deepEqual(await linkWith("", row6("", "00", "lo")), [undefined]);
  // The IPv6 default route is the last line, so `ip` is asked if the table is too long to be read.
  const asked = "route get 2000::1";
  const says = { [asked]: '[{"dst":"2000::1","dev":"eth6"}]' };
  assert.deepEqual(await linkWith(long4, long6 + default6, says), ["eth6", asked]);
});

test("routes overlap where one's subnet is within the other's, to the bit", () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ["172.16.28.0/24", "172.16.16.0/20", true],
    ["172.16.28.0/24", "172.16.28.128/25", true],
    ["172.16.28.0/24", "172.16.29.0/24", false],
    ["172.16.28.0/23", "172.16.29.0/24", true],
    ["172.16.28.0/24", "0.0.0.0/0", true],
    ["172.16.28.1/32", "172.16.28.1/32", true],
    ["172.16.28.1/32", "172.16.28.2/32", false],
    ["fd00::/63", "fd00:0:0:1::/64", true],
    ["fd00::/64", "fd00:0:0:1::/64", false],
    ["0.0.0.0/0", "::/0", false],
  ];
  for (const [one, other, is] of rows) {
    assert.equal(overlap(routeTo(one, "a"), routeTo(other, "b")), is, `${one} ${other}`);
    assert.equal(subnetOf(routeTo(other, "b")), other);
  }
  const { world } = having({
    route: header + row4("eth0", "000200C0", "00FEFFFF"),
    ipv6_route: row6("2001", "40", "eth0"),
  });
  assert.deepEqual([...readRoutes(world, 4).routes, ...readRoutes(world, 6).routes].map(subnetOf), [
    "192.0.2.0/23",
    "2001::/64",
  ]);
});

test("whether there is a default route is read, or for a long IPv6 table asked", () => {
  const has = (files: Readonly<Record<string, string>>, says = {}) => {
    const { world } = having(files, says);
    return [4, 6].map((family) => hasDefaultRoute(world, family as 4 | 6));
  };
  assert.deepEqual(has({ route: header + default4 + long4, ipv6_route: default6 }), [true, true]);
  assert.deepEqual(has({ route: header + long4, ipv6_route: long6 }), [false, true]);
  const refused = { "ip -6 route get 2000::1": "RTNETLINK answers: Network is unreachable\n" };
  assert.deepEqual(has({ route: header + long4, ipv6_route: long6 }, refused), [false, false]);
  assert.deepEqual(has({}), [false, false]);
});

test("the way out has IPv6's MTU of its link, which is of our namespace, or the link's", async () => {
  const route = header + default4;
  const mtuOf = async (files: Readonly<Record<string, string>>) => await defaultMtu(having(files).world);
  const sysctl = { "/proc/sys/net/ipv6/conf/eth0/mtu": "1400\n" };
  const link = { "/sys/class/net/eth0/mtu": "9000\n" };
  assert.equal(await mtuOf({ route, ...sysctl, ...link }), 1400);
  assert.equal(await mtuOf({ route, ...link }), 9000);
  assert.equal(await mtuOf(sysctl), undefined);
  // A VPN's routes: two halves of the world, or a table to which a rule leads.
  const [half, vpn] = [row4("tun0", "00000000", "00000080"), { "/proc/sys/net/ipv6/conf/tun0/mtu": "1420" }];
  assert.equal(await mtuOf({ ...vpn, route: header + half + default4 }), 1420);
  const files = { ...vpn, "/proc/sys/net/ipv6/conf/eth0/mtu": "1500", route: header + default4 };
  const tables = { ...files, "fib_triestat": "Main:\nLocal:\nId 51820:\n" };
  const by = having(tables, { "route get 64.0.0.1": '[{"dst":"64.0.0.1","dev":"tun0","table":"51820"}]' });
  assert.equal(await defaultMtu(by.world), 1420);
  assert.equal(await mtuOf(tables), 1500);
});

test("links keep what routers advertise, of a table read or asked, unless the host forwards already", async () => {
  const keys = (link: string) => ({ [`/proc/sys/net/ipv6/conf/${link}/accept_ra`]: "1\n" });
  const routes = default6 + row6("", "00", "eth7");
  const of = async (more: Readonly<Record<string, string>>) => await advertisedLinks(having(more).world);
  assert.deepEqual(await of({ ipv6_route: routes, ...keys("eth7") }), ["eth7"]);
  const forwarding = { "/proc/sys/net/ipv6/conf/all/forwarding": "1\n" };
  assert.deepEqual(await of({ ipv6_route: routes, ...keys("eth7"), ...forwarding }), []);
  const long = having({ ipv6_route: long6, ...keys("eth6") }, {
    "ip -6 -json route show default proto ra":
      '[{"dst":"default","dev":"eth6"},{"dst":"default","dev":"eth7"}]',
  });
  assert.deepEqual(await advertisedLinks(long.world), ["eth6"]);
});

test("a host has IPv6 by an address of global scope that is not lo's; among very many, by a default route", () => {
  const address = (scope: string, link: string) =>
    `${"fd".padEnd(32, "0")} 02 40 ${scope} 80 ${link.padStart(8)}\n`;
  const has = (if_inet6: string, more = {}) => hasIpv6(having({ if_inet6, ...more }).world);
  assert.equal(has(address("20", "eth0") + address("00", "eth0")), true);
  assert.equal(has(address("20", "eth0") + address("00", "lo")), false);
  assert.equal(has(address("20", "eth0").repeat(2000)), false);
  assert.equal(has(address("20", "eth0").repeat(2000), { ipv6_route: default6 }), true);
});

test("an address is the host's if programs can listen on it, without a process, or the kernel takes it in", async () => {
  const local = '[{"type":"local","dst":"fe80::1","dev":"lo"}]';
  const { world, ran } = having({}, {
    "route get fe80::1": local,
    "route get 192.0.2.9": '[{"dev":"eth0"}]',
  });
  assert.equal(await isHostAddress(world, "192.0.2.1"), true);
  assert.deepEqual(ran, []);
  assert.equal(await isHostAddress(world, "fe80::1"), true);
  assert.equal(await isHostAddress(world, "192.0.2.9"), false);
});

test("the addresses that another process sees are those its kernel takes in, or may come to have", () => {
  const files = (nonLocal: string) => ({
    "/proc/7/net/fib_trie": `Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.0
        /32 link BROADCAST
        /8 host LOCAL
     |-- 192.0.2.1
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
`,
    "/proc/7/net/if_inet6": `fe800000000000000000000000000001 02 40 20 80     eth0
20010db8000100000000000000000001 02 40 00 40     eth0
`,
    "/proc/7/net/ipv6_route": row6("20010db80002", "40", "lo", "80200001") +
      row6("20010db80003", "40", "eth0"),
    "/proc/sys/net/ipv4/ip_nonlocal_bind": nonLocal,
  });
  const own = "127.0.0.1 127.8.8.8 192.0.2.1 fe80::1 2001:db8:1::1 2001:db8:2::7".split(" ");
  const others = "192.0.2.2 192.0.2.255 198.51.100.1 2001:db8:1::2 2001:db8:3::7".split(" ");
  const seen = addressesSeenBy(having(files("0\n")).world, 7);
  assert.deepEqual([...own, ...others].filter(seen), own);
  assert.ok(addressesSeenBy(having(files("1\n")).world, 7)("192.0.2.2"));
  // If the table is too long, the program that listens must report the error.
  const long = addressesSeenBy(
    having({ ...files("0\n"), "/proc/7/net/fib_trie": "x".repeat(65536) }).world,
    7,
  );
  assert.deepEqual(others.map(long), [true, true, true, false, false]);
});
