import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { askLinks, linkExists, readOwnBridge } from "./links.ts";

const bridge = '[{"ifindex":4,"ifname":"br0","flags":["BROADCAST","UP"],"mtu":1400,"txqlen":500,' +
  '"address":"02:00:00:00:00:04","ifalias":"a\u001bb","altnames":["lan","a-very-long-name-of-a-bridge"],' +
  '"linkinfo":{"info_kind":"bridge"},"addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24,"scope":"global"},' +
  '{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]\n';
const port = '[{"ifindex":5,"ifname":"veth1","flags":["PROMISC"],"mtu":1500,"address":"02:00:00:00:00:05",' +
  '"master":"br0","parentdev":"0000:00:03.0","linkinfo":{"info_kind":"veth","info_slave_kind":"bridge",' +
  '"info_slave_data":{"hairpin":true,"isolated":false}},"addr_info":[]}]\n';
const way = '[{"type":"unicast","dst":"10.1.1.9","dev":"br0","flags":[]}]\n';

/** A World whose `ip` prints this text. */
function saying(stdout: string, code = 0) {
  const asked: string[] = [];
  const run: World["run"] = (argv, { stdin = "" } = {}) => {
    asked.push(`${argv.join(" ")}\n${stdin}`);
    return Promise.resolve({ code, stdout, stderr: code === 1 ? 'Device "gone" does not exist.\n' : "" });
  };
  return { world: { run } as World, asked };
}

test("links and ways are asked of one ip, and answers found by what they are of, for what is missing has none", async () => {
  const { world, asked } = saying(bridge + port + way, 1);
  const questions = { links: ["lan", "gone", "veth1"], reached: ["10.1.1.9", "192.0.2.9"], macs: [] };
  const { links, reached } = await askLinks(world, questions);
  assert.deepEqual(asked, [
    "ip -d -json -force -batch -\naddress show dev lan\naddress show dev gone\naddress show dev veth1\n" +
    "route get 10.1.1.9\nroute get 192.0.2.9\n",
  ]);
  assert.deepEqual([...links.keys()], ["lan", "veth1"]);
  assert.deepEqual(links.get("lan"), {
    ...{ name: "br0", altNames: ["lan", "a-very-long-name-of-a-bridge"], index: 4, mac: "02:00:00:00:00:04" },
    ...{ mtu: 1400, kind: "bridge", alias: "a\u001bb", up: true, promiscuous: false, allMulticast: false },
    ...{ queueLength: 500, hardware: false, addresses: ["10.1.1.1/24"] },
  });
  const { master, port: settings, hardware, promiscuous, up } = links.get("veth1")!;
  assert.deepEqual([master, settings], ["br0", { hairpin: true, isolated: false }]);
  assert.deepEqual([hardware, promiscuous, up], [true, true, false]);
  assert.deepEqual([...reached], [["10.1.1.9", "br0"]]);
});

test("no process is started for nothing, nor a line written for what is no name", async () => {
  const { world, asked } = saying("");
  await askLinks(world, { links: [], reached: [], macs: [] });
  await askLinks(world, { links: ["a b", "a\nlink del dev eth0", "-all", ""], reached: [], macs: [] });
  assert.deepEqual(asked, []);
});

test("a link is found by its MAC address among all", async () => {
  const { world, asked } = saying(`[${bridge.trim().slice(1, -1)},${port.trim().slice(1, -1)}]\n`);
  const { macs } = await askLinks(world, {
    links: ["br0"],
    reached: [],
    macs: ["02:00:00:00:00:05", "02::"],
  });
  assert.deepEqual([...macs].map(([mac, { name }]) => [mac, name]), [["02:00:00:00:00:05", "veth1"]]);
  assert.match(asked[0]!, /\naddress show\n$/);
});

test("an ip that was killed has told nothing", async () => {
  await assert.rejects(askLinks(saying("", 137).world, { links: ["eth0"], reached: [], macs: [] }), {
    message: "Cannot look at links by ip: it was ended by signal 9",
  });
});

test("a link is there if /proc/sys of our network namespace has it, which no name leads out of", () => {
  const stat = (path: string) => /\/conf\/(eth0|all|default|x)$/.test(path) ? {} : undefined;
  const world = { stat } as unknown as World;
  const names = ["eth0", "eth1", "all", "default", "..", "../conf/eth0", "a/x", ""];
  assert.deepEqual(names.filter((name) => linkExists(world, name)), ["eth0"]);
});

test("a bridge is known for ours by alias, MAC address and kind, all in files", () => {
  const mac = "02:c3:c3:c3:c3:c3";
  const found = (files: Readonly<Record<string, string>>, there = true) => {
    const all: Readonly<Record<string, string>> = {
      ...{ ifalias: "ocinet\n", address: `${mac}\n`, uevent: "DEVTYPE=bridge\nINTERFACE=cni0\n" },
      ...{ flags: "0x1003\n", mtu: "1400\n", ifindex: "7\n", ...files },
    };
    return readOwnBridge({
      stat: () => there ? {} : undefined,
      read: (path: string) => all[path.replace("/sys/class/net/cni0/", "")],
    } as unknown as World, { name: "cni0", mac });
  };
  assert.deepEqual(found({}), {
    ...{ name: "cni0", mac, kind: "bridge", up: true, alias: "ocinet", index: 7, mtu: 1400 },
  });
  assert.equal(found({ flags: "0x1002\n" })?.up, false);
  // /sys may belong to another network namespace, in which the link exists.
  assert.equal(found({}, false), undefined);
  assert.equal(found({ ifalias: "\n" }), undefined);
  assert.equal(found({ address: "02:00:00:00:00:01\n" }), undefined);
  assert.equal(found({ uevent: "DEVTYPE=vlan\n" }), undefined);
});
