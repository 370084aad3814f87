import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../../wire/cni/network_list.ts";
import type { World } from "../../plan/world.ts";
import { type BuiltIn, usualSubnets, withFreeSubnets } from "./subnets.ts";

const none = "0".repeat(32);

function hex(address: string): string {
  return address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0")).reverse().join("")
    .toUpperCase();
}

/** A row of /proc/net/route. */
function route(subnet: string, link: string): string {
  const [address, length] = subnet.split("/");
  const mask = Array.from(
    { length: 4 },
    (_, i) => 256 - 2 ** (8 - Math.min(8, Math.max(0, Number(length) - 8 * i))),
  );
  return `${link}\t${hex(address!)}\t00000000\t0001\t0\t0\t0\t${hex(mask.join("."))}\t0\t0\t0\n`;
}

interface Host {
  readonly routes?: readonly string[];
  readonly routes6?: string;
  readonly files?: Readonly<Record<string, string>>;
  /** What `ip route get fibmatch` says. */
  readonly says?: string;
}

/** The subnets that a built-in network gets on a host, and what was asked. */
async function chosen(host: Host = {}, network: BuiltIn = "default") {
  const files: Readonly<Record<string, string>> = {
    "/proc/self/net/route": (host.routes ?? []).join(""),
    "/proc/self/net/ipv6_route": host.routes6 ?? "",
    ...host.files,
  };
  const asked: string[] = [];
  const world: Partial<World> = {
    read: (path) => files[path],
    list: (path) =>
      Object.keys(files).filter((name) => name.startsWith(`${path}/`)).map((name) =>
        name.slice(path.length + 1)
      ),
    readStart: (path, bytes) => files[path]?.slice(0, bytes),
    stat: (path) =>
      files[path] === undefined ? undefined : { kind: "file", identity: "", uid: 0, modified: 0, mode: 0 },
    run: (_, { stdin = "" } = {}) => {
      asked.push(stdin);
      return Promise.resolve({ code: 0, stdout: host.says ?? "", stderr: "" });
    },
  };
  const ranges = usualSubnets(network, true).map((subnet) => [{ subnet }]);
  const list = parseNetworkList(JSON.stringify({ name: network, type: "ptp", ipam: { ranges } }), network);
  const { plugins } = await withFreeSubnets(world as World, list, { network, directory: "/leases" });
  const ipam = plugins[0]!["ipam"] as {
    readonly ranges: readonly (readonly { readonly subnet: string }[])[];
  };
  return { subnets: ipam.ranges.map(([range]) => range!.subnet).join(" "), asked };
}

const usual = "172.16.28.0/24 fd6f:6369:6e65:28::/64";
const second = "10.86.28.0/24 fd6f:6369:6e65:28::/64";
const lan = [route("0.0.0.0/0", "eth0"), route("192.0.2.0/24", "eth0")];

test("a built-in network has its usual subnets where no more than default routes lead there, and no process is asked", async () => {
  for (
    const routes of [
      lan,
      [...lan, route("0.0.0.0/1", "tun0"), route("128.0.0.0/1", "tun0")],
      [...lan, route("172.16.28.9/32", "veth0123456789a"), route("172.16.0.0/12", "*")],
      [...lan, route("172.16.29.0/24", "eth1"), route("172.16.27.0/24", "eth1")],
    ]
  ) {
    assert.deepEqual(await chosen({ routes }), { subnets: usual, asked: [] });
  }
});

test("a subnet that the host reaches elsewhere is left to that: a wider route, one within, or a name server", async () => {
  const rows: readonly Host[] = [
    { routes: [...lan, route("172.16.0.0/12", "tun0")] },
    { routes: [route("0.0.0.0/0", "eth0"), route("172.16.16.0/20", "eth0")] },
    { routes: [...lan, route("172.16.28.128/25", "eth1")] },
    { routes: [...lan, route("172.16.28.1/32", "eth0")] },
    { routes: lan, files: { "/etc/resolv.conf": "nameserver 172.16.28.53\n" } },
  ];
  for (const host of rows) assert.equal((await chosen(host)).subnets, second, JSON.stringify(host));
  const [vpn, vpc] = [route("10.0.0.0/8", "tun0"), route("172.31.0.0/20", "eth0")];
  assert.equal(
    (await chosen({ routes: [vpn, route("172.16.0.0/12", "tun0")] })).subnets.split(" ")[0],
    "192.168.228.0/24",
  );
  assert.equal((await chosen({ routes: [vpc] }, "default-restricted")).subnets.split(" ")[0], "10.87.0.0/16");
  const own6 = `fd6f63696e6500280000000000000000 40 ${none} 00 ${none} 00000100 1 0 00000001     eth0\n`;
  assert.equal((await chosen({ routes6: own6 })).subnets, "172.16.28.0/24 fd6f:6369:6e66:28::/64");
});

test("the helper's network is not moved by its own bridge", async () => {
  const { subnets } = await chosen({ routes: [...lan, route("172.16.29.0/24", "ocinet0")] }, "ocinet0");
  assert.equal(subnets.split(" ")[0], "172.16.29.0/24");
  const other = await chosen({ routes: [...lan, route("172.16.29.0/24", "eth1")] }, "ocinet0");
  assert.equal(other.subnets.split(" ")[0], "10.86.29.0/24");
});

test("while containers have addresses of a subnet, the next has one of it; without, it is chosen anew", async () => {
  const routes = [...lan, route("172.16.28.0/24", "eth1"), route("10.86.28.0/24", "eth1")];
  const last = { "/leases/last_reserved_ip.0": "10.86.28.7" };
  assert.equal((await chosen({ routes, files: { ...last, "/leases/10.86.28.7": "c1" } })).subnets, second);
  assert.equal((await chosen({ routes, files: { ...last, "/leases/10.86.28.3": "c0" } })).subnets, second);
  assert.equal((await chosen({ routes, files: last })).subnets.split(" ")[0], "192.168.228.0/24");
  // What was in the way may have gone: a container that comes back finds the subnet that it had.
  assert.equal((await chosen({ routes: lan, files: last })).subnets, second);
});

test("where all are taken, the reasons are said", async () => {
  const routes = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"]
    .map((subnet) => route(subnet, "tun0"));
  await assert.rejects(chosen({ routes }), {
    message: 'Cannot use network "default": the host reaches each subnet that it could have elsewhere ' +
      "(172.16.28.0/24 by route 172.16.0.0/12 dev tun0, 10.86.28.0/24 by route 10.0.0.0/8 dev tun0, " +
      "192.168.228.0/24 by route 192.168.0.0/16 dev tun0, 100.86.28.0/24 by route 100.64.0.0/10 dev tun0, " +
      "198.18.28.0/24 by route 198.18.0.0/15 dev tun0); give it one in /etc/ocinet/net.d/99-default.conf",
  });
});

test("of a table that is too long to be read, routes to addresses all over the subnet are asked of one process", async () => {
  const routes = Array.from({ length: 3000 }, (_, i) => route(`11.0.${i >> 8}.${i & 255}/32`, "eth0"));
  const { subnets, asked } = await chosen({ routes, says: '[{"dst":"default","dev":"eth0"}]\n' });
  assert.equal(subnets, usual);
  assert.equal(asked.length, 1);
  assert.match(
    asked[0]!,
    /^route get fibmatch 172.16.28.1\nroute get fibmatch 172.16.28.17\n(.*\n){13}.*\.241\n(.* fd6f.*\n){16}$/,
  );
  const routes6 = `20010db8${"0".repeat(24)} 80 ${none} 00 ${none} 00000100 1 0 00000001     eth0\n`.repeat(
    1000,
  );
  const both = await chosen({ routes, routes6, says: '[{"dst":"default","dev":"eth0"}]\n' });
  assert.deepEqual([both.subnets, both.asked.length], [usual, 1]);
  const fewer = { routes: [route("0.0.0.0/0", "eth0")], says: '[{"dst":"172.16.0.0/12","dev":"wg0"}]\n' };
  const files = { "/proc/self/net/fib_triestat": "Main:\n\tLeaves: 7\nId 52:\n" };
  assert.equal((await chosen(fewer)).subnets, usual);
  assert.equal((await chosen({ ...fewer, files })).subnets.split(" ")[0], "10.86.28.0/24");
  const within = '[{"dst":"172.31.16.0/20","dev":"eth0"}]\n[{"type":"unreachable","dst":"172.31.0.0/16"}]\n';
  assert.equal(
    (await chosen({ routes, says: within }, "default-restricted")).subnets.split(" ")[0],
    "10.87.0.0/16",
  );
});
