import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { type AllLookups, observe } from "./observe.ts";

const nothing: AllLookups = {
  agent: [],
  ...{ links: [], names: [], ownBridges: [], sysctls: [], devices: [], files: [], reached: [] },
  ...{ defaultMaster: false, advertised: false, inside: false, insideSysctls: [], answers: [] },
};

const mac = "02:c3:c3:c3:c3:c3";

/** A host with `count` links, each with an address and a route of both families. Reads and commands are recorded. */
function crowded(count: number, forwards6 = 1) {
  const rows = (row: (i: number) => string) => Array.from({ length: count }, (_, i) => row(i)).join("");
  const hex = (i: number) => i.toString(16).padStart(8, "0").toUpperCase();
  const zeros = "0".repeat(24);
  const files: Readonly<Record<string, string>> = {
    "/proc/self/net/dev": rows((i) => `veth${i}: ${"0 ".repeat(16)}\n`),
    "/proc/self/net/route": `Iface\tDestination\neth0\t00000000\t0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n` +
      rows((i) => `${`veth${i}\t${hex(i)}\t0\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0`.padEnd(127)}\n`),
    "/proc/self/net/ipv6_route": rows((i) =>
      `${hex(i)}${zeros} 80 ${zeros}00000000 00 ${zeros}00000000 00000400 1 0 00000001 veth${i}\n`
    ),
    "/proc/self/net/if_inet6": rows((i) => `${hex(i)}${zeros} 02 80 00 80 veth${i}\n`),
    "/sys/class/net/cni0/ifalias": "ocinet\n",
    "/sys/class/net/cni0/address": `${mac}\n`,
    "/sys/class/net/cni0/uevent": "DEVTYPE=bridge\n",
    "/sys/class/net/cni0/flags": "0x1003\n",
    "/sys/class/net/cni0/ifindex": "4\n",
    "/sys/class/net/cni0/mtu": "1500\n",
    "/proc/sys/net/ipv4/ip_forward": "1\n",
    "/proc/sys/net/ipv6/conf/all/forwarding": `${forwards6}\n`,
  };
  const calls: string[] = [];
  let bytes = 0;
  const taken = (call: string, text: string | undefined) => {
    calls.push(call);
    bytes += text?.length ?? 0;
    return text;
  };
  const world: Partial<World> = {
    read: (path) => taken(path, files[path]),
    readStart: (path, most) => taken(path, files[path]?.slice(0, most)),
    list: (path) => [taken(path, "x".repeat(count))!],
    stat: (path) => {
      taken(path, "");
      return { kind: "directory", identity: "", uid: 0, modified: 0, mode: 0 };
    },
    readLink: (path) => taken(path, undefined),
    ask: (argv) => taken(argv.join(" "), "")!,
    run: (argv, { stdin = "" } = {}) => {
      taken(argv.join(" ") + stdin, "");
      return Promise.resolve({ code: 0, stdout: "", stderr: "" });
    },
  };
  return { world: world as World, calls, read: () => bytes };
}

/** The look-ups of the plugins of a bridge network with ports and of a ptp network. */
const bridged: AllLookups = {
  ...nothing,
  ownBridges: [{ name: "cni0", mac }],
  names: ["bwp0123456789ab"],
  sysctls: ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"],
  advertised: true,
};

/** The look-ups of types with a host link as master, and of CHECK. */
const all: AllLookups = {
  ...bridged,
  links: ["eth0", "veth7", "lan"],
  defaultMaster: true,
  ...{ reached: ["10.1.1.2", "fd00::2"], inside: true },
};

test("observing reads the same files, and as much of them, among 10 links as among 10,000, without a process", async () => {
  const [few, many] = [crowded(10), crowded(10_000)];
  for (const { world } of [few, many]) {
    const { links, advertised } = await observe(world, bridged, ["in"]);
    assert.deepEqual([links.get("cni0")?.kind, links.get("cni0")?.addresses, advertised], [
      "bridge",
      undefined,
      [],
    ]);
  }
  assert.deepEqual(few.calls, many.calls);
  assert.equal(few.read(), many.read());
  assert.ok(!few.calls.some((call) => call.startsWith("ip ")));
});

test("all that there is to ask takes one process for the host and one for the container, and a bounded part of a table", async () => {
  const [few, many, more] = [crowded(10), crowded(10_000), crowded(20_000)];
  for (const { world } of [few, many, more]) {
    assert.equal((await observe(world, all, ["in"])).defaultLink, "eth0");
  }
  assert.deepEqual(few.calls, many.calls);
  assert.equal(few.calls.filter((call) => /^(ip|in) /.test(call)).length, 2);
  assert.equal(many.read(), more.read());
  assert.ok(many.read() < 70_000);
});

test("what is ours of bridges is asked of ip as soon as anything about it is another's", async () => {
  const { world, calls } = crowded(10);
  await observe(world, { ...nothing, ownBridges: [{ name: "cni0", mac: "02:00:00:00:00:01" }] }, undefined);
  assert.equal(calls.at(-1), "ip -d -json -force -batch -address show dev cni0\n");
});

test("on a host that forwards IPv4 alone, links are listed only when IPv6 is to be forwarded", async () => {
  const { world, calls } = crowded(3, 0);
  const { unforwarded } = await observe(world, { ...nothing, advertised: true }, ["in"]);
  assert.equal(
    calls.some((call) => call.startsWith("/proc/sys/net/ipv4/conf") || call.startsWith("ip -d")),
    false,
  );
  assert.deepEqual(unforwarded!(), ["xxx"]);
});
