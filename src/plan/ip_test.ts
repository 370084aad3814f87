import assert from "node:assert/strict";
import { test } from "node:test";
import { acceptLoopbackAnswers, addAddress, addBridge, addRoute, addVeth, setLink, vethsOf } from "./ip.ts";
import { show } from "./step.ts";

const [host, container] = [{ name: "veth1", mac: "02:00:00:00:00:01" }, {
  name: "eth0",
  mac: "02:00:00:00:00:02",
}];

test("the host's ends of the veths that steps make are known", () => {
  const steps = [addVeth({ host, container, netns: "/n" }), addBridge("br0", host.mac, undefined, false)];
  assert.deepEqual(vethsOf(steps), ["veth1"]);
});

test("a veth is made in one line, with the container's end where it belongs, and goes by the host's end", () => {
  const bare = addVeth({ host, container, netns: "/proc/7/ns/net" });
  assert.equal(
    bare.run,
    "link add name veth1 address 02:00:00:00:00:01 type veth " +
      "peer name eth0 address 02:00:00:00:00:02 netns /proc/7/ns/net",
  );
  assert.equal(bare.undo, "link del dev veth1");
  assert.equal(
    addVeth({ host, container, netns: "/n", mtu: 1400, master: "cni0" }).run,
    "link add name veth1 address 02:00:00:00:00:01 mtu 1400 master cni0 type veth " +
      "peer name eth0 address 02:00:00:00:00:02 mtu 1400 netns /n",
  );
});

test("a bridge is shared, so nothing undoes it", () => {
  const bridge = addBridge("cni0", "02:00:00:00:00:03", undefined, false);
  assert.equal(bridge.run, "link add name cni0 address 02:00:00:00:00:03 type bridge");
  assert.deepEqual([bridge.onError, bridge.undo], ["ignore-exists", undefined]);
  assert.equal(
    addBridge("cni0", "02:00:00:00:00:03", 1400, true).run,
    "link add name cni0 address 02:00:00:00:00:03 mtu 1400 type bridge vlan_filtering 1",
  );
});

test("addresses, routes and attributes are in ip's words", () => {
  assert.equal(
    show([
      setLink("host", "cni0", "promisc", "on"),
      addAddress("host", "10.0.0.1/24", "cni0"),
      addAddress("container", "fd00::2/64", "eth0"),
      addRoute("container", { dst: "0.0.0.0/0", gw: "10.0.0.1" }, "eth0"),
      addRoute("host", { dst: "fd00::/64" }, "veth1"),
      addRoute(
        "container",
        { dst: "10.9.0.0/16", gw: "10.0.0.1", mtu: 1400, advmss: 1360, priority: 7, table: 0, scope: 0 },
        "eth0",
      ),
    ]),
    `ip link set dev cni0 promisc on
ip address replace 10.0.0.1/24 dev cni0 brd +
container: ip address replace fd00::2/64 dev eth0 nodad
container: ip route add 0.0.0.0/0 via 10.0.0.1 dev eth0
ip route add fd00::/64 dev veth1
container: ip route add 10.9.0.0/16 via 10.0.0.1 dev eth0 metric 7 scope 0 mtu 1400 advmss 1360 table 0`,
  );
});

test("each link has its own way back to ::1, after the loopback link's", () => {
  const metrics = ["cni0", "cni1", "ovl0123456789ab", "ovl0123456789ba"].map((link) =>
    Number(acceptLoopbackAnswers(link).run.split(" ").at(-1))
  );
  assert.equal(new Set(metrics).size, 4);
  assert.ok(metrics.every((metric) => metric > 0 && metric < 2 ** 32));
});

test("no constructor lets more than a word into its line", () => {
  const evil = "a\nlink del dev b";
  const lines = [
    () => addVeth({ host: { ...host, name: evil }, container, netns: "/n" }),
    () => addVeth({ host, container: { ...container, mac: evil }, netns: "/n" }),
    () => addVeth({ host, container, netns: "/n x" }),
    () => addVeth({ host, container, netns: "/n", master: "-batch" }),
    () => addBridge("a;b", "02:00:00:00:00:03", undefined, false),
    () => setLink("host", "eth0", "up\n"),
    () => addAddress("host", evil, "eth0"),
    () => addRoute("host", { dst: "0.0.0.0/0", gw: evil }, "eth0"),
    () => addRoute("host", { dst: "0.0.0.0/0", mtu: -1 }, "eth0"),
    () => acceptLoopbackAnswers(evil),
  ];
  for (const line of lines) assert.throws(line, /is not one plain word/);
});
