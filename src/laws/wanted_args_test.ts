import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import { newHost, state } from "./machine.ts";
import { networkOf } from "./networks.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { describeAll } from "../features/container/describe.ts";
import { addNetwork } from "../features/cni_runtime/runtime.ts";
import type { CniError } from "../wire/cni/error.ts";
import { connectNetwork } from "../features/container/live_networks.ts";
import { detach } from "../features/container/detach.ts";
import { parseAttachOptions } from "../features/container/options.ts";

const wanted = "02:00:00:00:00:77";

/** Attaches a container to a network with these arguments. @returns what is then in its namespace */
async function attached(list: ReturnType<typeof networkOf>, args: string) {
  const fake = newHost();
  const netns = fake.addNamespace("box");
  const before = fake.dump();
  await attach(fake.world, state, {
    ...{ id: "c1", container: containerOfPath(fake.world, netns), replace: false },
    options: parseAttachOptions(new Map()),
    networks: [{ list, ifname: "eth0", args }],
  });
  return { fake, before, inside: namespaceOf(fake.kernel, fake.kernel.mounts[netns]!) };
}

for (const type of ["ptp", "bridge", "macvlan", "vlan", "host-device", "dummy", "tap", "static", "sbr"]) {
  test(`a MAC address that --net asks for is the interface's, on ${type}`, async () => {
    const { fake, inside } = await attached(networkOf(type, "c1"), `MAC=${wanted}`);
    assert.equal(linkNamed(inside, "eth0")!.mac, wanted);
    const [told] = await describeAll(fake.world, state, ["c1"]);
    assert.deepEqual([told!.state, told!.networks[0]!.mac], ["up", wanted]);
    await detach(fake.world, state, "c1");
    const { links } = namespaceOf(fake.kernel, fake.kernel.own);
    assert.ok(!links.some(({ mac }) => mac === wanted), "a device that comes back has its own again");
  });
}

const layer2 = '{"cniVersion":"1.1.0","name":"blue","type":"bridge"}';

/** Connects that container to one more network, of a type, with that MAC address. @returns what is then in its namespace */
async function connected(type: string, mac: string) {
  const { fake, inside } = await attached(parseNetworkList(layer2, "blue"), "");
  const list = { ...networkOf(type, "c1"), name: "red" };
  const network = {
    ...{
      name: "red",
      id: "0".repeat(64),
      driver: type,
      created: "",
      ipv4: true,
      ipv6: true,
      internal: false,
    },
    ...{ attachable: false, labels: {}, options: {}, ipam: [], predefined: false, path: "/red", list },
  };
  await connectNetwork(fake.world, state, "c1", network, { aliases: [], gwPriority: 0, mac });
  return inside;
}

for (const type of ["ptp", "bridge", "macvlan", "vlan"]) {
  test(`a MAC address that connect asks for is the interface's, on ${type}`, async () => {
    assert.equal(linkNamed(await connected(type, wanted), "eth1")!.mac, wanted);
    await assert.rejects(connected(type, "01:00:5e:00:00:01"), /MAC=01.*: it is not the address of one link/);
  });
}

test("a MAC address that another container on the network has is refused, until that has gone", async () => {
  const { fake } = await attached(networkOf("bridge", "c1"), `MAC=${wanted}`);
  const netns = fake.addNamespace("second");
  const again = () =>
    attach(fake.world, state, {
      ...{ id: "c2", container: containerOfPath(fake.world, netns), replace: false },
      options: parseAttachOptions(new Map()),
      networks: [{
        list: networkOf("bridge", "c2"),
        ifname: "eth0",
        args: `MAC=${wanted.replaceAll(":", "-")}`,
      }],
    });
  await assert.rejects(
    again(),
    /^CniError: Cannot use network "blue": Cannot use MAC=02:.*:77: container "c1" has it$/,
  );
  await detach(fake.world, state, "c1");
  await again();
});

for (const type of ["bridge", "macvlan", "ipvlan"]) {
  test(`a static address that another container on the ${type} network has is refused, until that has gone`, async () => {
    const text = (mode: object) =>
      JSON.stringify({
        cniVersion: "1.0.0",
        name: "blue",
        type,
        ...mode,
        ipam: { type: "static", addresses: [{ address: "10.7.0.2/24", gateway: "10.7.0.1" }] },
      });
    const list = parseNetworkList(text({ master: "eth0", bridge: "br7" }), "blue");
    const { fake } = await attached(list, "IP=10.7.0.7/24");
    const netns = fake.addNamespace("second");
    const again = (id: string, args: string, of = list) =>
      attach(fake.world, state, {
        ...{ id, container: containerOfPath(fake.world, netns), replace: false },
        options: parseAttachOptions(new Map()),
        networks: [{ list: of, ifname: "eth0", args }],
      });
    const outside = () => fake.dump().filter((line) => !line.startsWith("/run/netns/second"));
    const before = outside();
    const asked = { ...list, plugins: [{ ...list.plugins[0]!, args: { cni: { ips: ["10.7.0.7/24"] } } }] };
    for (const make of [() => again("c2", ""), () => again("c2", "", asked)]) {
      await assert.rejects(make(), /address.*container "c1" has |container "c1" has the address/);
    }
    assert.deepEqual(outside(), before);
    if (type !== "bridge") {
      const on = (master: string) => ({ ...list, name: "red", plugins: [{ ...list.plugins[0]!, master }] });
      await assert.rejects(again("c3", "", on("eth0")), /address 10\.7\.0\.2.*container "c1" has /);
      // What shares no link is apart from it.
      await again("c3", "", on("eth8"));
      await detach(fake.world, state, "c3");
    }
    await detach(fake.world, state, "c1");
    await again("c2", "", asked);
  });
}

test("of two containers that ask for one address at the same moment, one gets it; a killed or ended one keeps it from none", async () => {
  const ipam = { type: "static", addresses: [{ address: "10.7.0.2/24" }] };
  const text = JSON.stringify({ cniVersion: "1.0.0", name: "blue", type: "macvlan", master: "eth0", ipam });
  const list = parseNetworkList(text, "blue");
  const fake = newHost();
  const add = (id: string) =>
    addNetwork(fake.world, state, {
      ...{ list, config: text, containerId: id, netns: fake.addNamespace(id), ifname: "eth0", args: "" },
      ...{ path: [], capabilityArgs: {}, cacheDirectory: "/var/lib/cni" },
    });
  const ends = await Promise.allSettled(["c1", "c2", "c3"].map(add));
  const [one, ...more] = ends.flatMap((end, i) => end.status === "fulfilled" ? [`c${i + 1}`] : []);
  assert.deepEqual(more, []);
  for (const end of ends) {
    if (end.status === "rejected") assert.match(end.reason.message, /: Cannot use address 10\.7\.0\.2$/);
  }
  fake.removeNamespace(one!);
  await add("c4");
  await assert.rejects(add("c5"), ({ details }: CniError) => details.startsWith('container "c4" has it;'));
  // As when its record was lost.
  fake.world.remove(`${state}/containers/c4`);
  await add("c6");
});

for (const type of ["bridge", "ptp", "macvlan"]) {
  test(`of two containers that ask for one MAC address on ${type} at the same moment, one gets it`, async () => {
    const fake = newHost();
    const add = (id: string) =>
      attach(fake.world, state, {
        ...{ id, container: containerOfPath(fake.world, fake.addNamespace(id)), replace: false },
        options: parseAttachOptions(new Map()),
        networks: [{ list: networkOf(type, id), ifname: "eth0", args: `MAC=${wanted}` }],
      });
    const [one, two] = await Promise.allSettled([add("c1"), add("c2")]);
    const refusal = [one, two].find(({ status }) => status === "rejected") as PromiseRejectedResult;
    assert.match(
      `${refusal?.reason}`,
      /Cannot use address 02:.*:77: container "c[12]" has it; choose another/,
    );
    assert.ok([one, two].some(({ status }) => status === "fulfilled"));
    const [had, next] = one.status === "fulfilled" ? ["c1", "c2"] : ["c2", "c1"];
    fake.removeNamespace(had);
    await add(next);
    for (const id of ["c1", "c2"]) await detach(fake.world, state, id);
    const claims = fake.world.list(`${state}/networks/.links`);
    assert.deepEqual(claims.flatMap((name) => fake.world.list(`${state}/networks/.links/${name}`)), []);
  });
}

const dhcp = '{"cniVersion":"1.1.0","name":"blue","type":"bridge","ipam":{"type":"dhcp"}}';
const fixed = '{"cniVersion":"1.1.0","name":"blue","type":"bridge","ipam":{"type":"static"}}';
const passthru = '{"cniVersion":"1.1.0","name":"blue","type":"macvlan","master":"eth0","mode":"passthru"}';

test("what a network cannot give of what --net asks for is refused, with the reason", async () => {
  const own = (text: string) => parseNetworkList(text, "blue");
  const cases = [
    [networkOf("ipvlan", "c1"), `MAC=${wanted}`, /MAC=02:.*: every interface of an ipvlan has its master's;/],
    [own(passthru), `MAC=${wanted}`, /MAC=02:.*: in mode "passthru" it has its master's;/],
    [networkOf("loopback", "c1"), `MAC=${wanted}`, /MAC=02:.*: a loopback interface has none;/],
    [networkOf("ptp", "c1"), "MAC=01-00-5e-00-00-01", /MAC=01-.*: it is not the address of one link/],
    [networkOf("bridge", "c1"), "MAC=00:00:00:00:00:00", /MAC=00:.*: it is not the address of one link/],
    [networkOf("ptp", "c1"), "MAC=zz", /Cannot use MAC address "zz": it is not one/],
    [
      own(dhcp),
      "IP=10.1.1.7",
      /IP=10.1.1.7: its addresses are from "dhcp", .*or use "host-local" or "static"/,
    ],
    [own(layer2), "IP=10.1.1.7", /IP=10.1.1.7: its configuration has no "ipam"/],
    [networkOf("ptp", "c1"), "GATEWAY=10.1.1.9", /GATEWAY=10.1.1.9: .*"host-local", .*use "static"$/],
    [own(fixed), "IP=10.7.0.7/24,10.7.0.7/16", /Cannot use address 10\.7\.0\.7: it is given twice$/],
    [networkOf("ptp", "c1"), "ip6=fd00::9", /unknown args \["ip6=fd00::9"\]/],
  ] as const;
  for (const [list, args, why] of cases) {
    await assert.rejects(attached(list, args), (error: Error) => {
      assert.match(error.message, /^Cannot use network "blue": /);
      assert.match(error.message, why);
      return true;
    });
  }
});
