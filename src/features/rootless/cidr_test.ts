import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUplink } from "../../drivers/uplinks/table.ts";
import type { World } from "../../plan/world.ts";
import { withFreeCidr } from "./cidr.ts";

/** A row of /proc/net/route. */
function row(link: string, to: string, mask: string): string {
  return `${link}\t${to}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;
}

const [lan, defaultRoute, half] = [
  row("eth0", "0002000A", "00FFFFFF"),
  row("eth0", "00000000", "00000000"),
  row("tun0", "00000000", "00000080"),
];

async function cidrOf(uplink: string, table: string, answer = "[]"): Promise<string | undefined> {
  const world: Partial<World> = {
    readStart: (_, bytes) => table.slice(0, bytes),
    run: () => Promise.resolve({ code: 0, stdout: answer, stderr: "" }),
  };
  return (await withFreeCidr(world as World, parseUplink(uplink))).options.cidr;
}

test("a container's network is one that the host has no route into", async () => {
  assert.equal(await cidrOf("slirp4netns", defaultRoute), "10.0.2.0/24");
  assert.equal(await cidrOf("slirp4netns", half), "10.0.2.0/24");
  assert.equal(await cidrOf("slirp4netns", defaultRoute + lan), "10.86.30.0/24");
  assert.equal(await cidrOf("pasta", lan), "10.86.30.0/24");
  // 10.0.0.0/8 has both, and one host of 172.16.30.0/24 is reached by itself.
  const wide = row("tun0", "0000000A", "000000FF") + row("tun0", "071E10AC", "FFFFFFFF");
  assert.equal(await cidrOf("slirp4netns", wide), "192.168.230.0/24");
});

test("what is asked for stays, and an uplink without such a network gets none", async () => {
  assert.equal(await cidrOf("slirp4netns:cidr=10.0.2.0/24", lan), "10.0.2.0/24");
  assert.equal(await cidrOf("helper", lan), undefined);
});

test("if the host has routes into all, the usual one is taken", async () => {
  const all = ["0000000A", "000010AC", "0000A8C0", "00005664"].map((to) => row("tun0", to, "000000FF"));
  const wide = ["00005664", "0000A8C0"].map((to) => row("tun0", to, "0000FFFF"));
  assert.equal(await cidrOf("slirp4netns", [...all, ...wide].join("")), "10.0.2.0/24");
});

test("of a table that is too long to be read, the kernel is asked", async () => {
  const long = row("tun0", "00000001", "FFFFFFFF").repeat(3000);
  assert.equal(await cidrOf("slirp4netns", long, '[{"dst":"default","dev":"eth0"}]'), "10.0.2.0/24");
  assert.equal(await cidrOf("slirp4netns", long, '[{"dst":"10.0.0.0/8","dev":"tun0"}]'), "10.0.2.0/24");
});
