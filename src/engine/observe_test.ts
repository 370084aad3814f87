import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { type AllLookups, isHostAddress, observe } from "./observe.ts";

const nothing: AllLookups = {
  ...{ links: [], sysctls: [], devices: [], files: [], reached: [] },
  ...{ defaultMaster: false, advertised: false, inside: false, insideSysctls: [], answers: [] },
};

test("observe() tells by which link an address is reached, unless that is by a router", async () => {
  const routes: Readonly<Record<string, string>> = {
    "10.1.1.2": "10.1.1.2 dev cni0 src 10.1.1.1 uid 0 \\    cache\n",
    "fd00::2": "fd00::2 from :: dev veth1 src fd00::1 metric 256 pref medium\n",
    "198.51.100.9": "198.51.100.9 via 192.0.2.2 dev eth0 src 192.0.2.1 uid 0 \\    cache\n",
    "203.0.113.1": "",
  };
  const run = (argv: readonly string[]) => {
    assert.deepEqual(argv.slice(0, 4), ["ip", "-o", "route", "get"]);
    return Promise.resolve({ code: 0, stdout: routes[argv[4]!]!, stderr: "" });
  };
  const world = { read: () => "", run } as unknown as World;
  const seen = await observe(world, { ...nothing, reached: Object.keys(routes) }, undefined);
  assert.deepEqual([...seen.reached!], [["10.1.1.2", "cni0"], ["fd00::2", "veth1"]]);
});

test("an address is the host's if the kernel takes it in, or lets programs listen on it beforehand", () => {
  const files = (nonlocal: string): Readonly<Record<string, string>> => ({
    "/proc/self/net/fib_trie": `Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.0
        /32 link BROADCAST
        /8 host LOCAL
     |-- 192.0.2.1
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
`,
    "/proc/self/net/if_inet6": `fe800000000000000000000000000001 02 40 20 80     eth0
20010db8000100000000000000000001 02 40 00 40     eth0
`,
    "/proc/self/net/ipv6_route": `20010db8000200000000000000000000 40 ${"0".repeat(32)} 00 ${
      "0".repeat(32)
    } 00000400 00000001 00000000 80200001       lo
20010db8000300000000000000000000 40 ${"0".repeat(32)} 00 ${
      "0".repeat(32)
    } 00000400 00000001 00000000 00000001     eth0
`,
    "/proc/7/net/fib_trie": "     |-- 198.51.100.1\n        /32 host LOCAL\n",
    "/proc/sys/net/ipv4/ip_nonlocal_bind": nonlocal,
  });
  const world = (nonlocal = "0\n") => ({ read: (path: string) => files(nonlocal)[path] }) as World;
  const own = "127.0.0.1 127.8.8.8 192.0.2.1 fe80::1 2001:db8:1::1 2001:db8:2::7".split(" ");
  const others = "192.0.2.2 192.0.2.255 198.51.100.1 2001:db8:1::2 2001:db8:3::7".split(" ");
  assert.deepEqual([...own, ...others].filter((address) => isHostAddress(world(), address)), own);
  assert.ok(isHostAddress(world(), "198.51.100.1", 7));
  assert.ok(isHostAddress(world("1\n"), "192.0.2.2"));
});
