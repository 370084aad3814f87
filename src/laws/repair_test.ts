import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deleteLink,
  type FakeLink,
  linkNamed,
  type Namespace,
  namespaceOf,
  removeAddress,
  setUp,
} from "../host/fake/kernel.ts";
import type { Fake } from "../host/fake.ts";
import { describeAll, type Description } from "../features/container/describe.ts";
import { restoreRules } from "../features/container/restore_rules.ts";
import type { Agent } from "../features/overlay/agent_state.ts";
import { restoreHostRules } from "../features/overlay/host_rules.ts";
import { takeSample } from "../features/top/sample.ts";
import type { World } from "../plan/world.ts";
import { repair } from "../features/container/repair.ts";
import { containers, hostWith } from "./actions.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { parseNetworkList } from "../wire/cni/network_list.ts";
import { dumpOf, missingFrom, newHost, state } from "./machine.ts";
import { networkTypes } from "./networks.ts";

const hostOf = ({ kernel }: Fake) => namespaceOf(kernel, kernel.own);

/** Two containers on a bridge, something that another program does to the machine, and repair of both. */
async function repaired(damage: (fake: Fake) => void) {
  const fake = await hostWith(containers, "portmap");
  await containers.add(fake.world, "portmap", "c1");
  const before = dumpOf(fake);
  damage(fake);
  assert.notDeepEqual(dumpOf(fake), before);
  const seen = (await describeAll(fake.world, state, ["c0", "c1"])).map(({ reason }) => reason ?? "");
  const told = [await repair(fake.world, state, "c0"), await repair(fake.world, state, "c1")].flat();
  for (const id of ["c0", "c1"]) assert.deepEqual(await repair(fake.world, state, id), []);
  // What is done again is recorded.
  const lost = missingFrom(before, dumpOf(fake)).filter((line) => !line.startsWith("file /run/ocinet/"));
  return { seen, told, lost };
}

/** As "nft flush table" does: chains and elements stay. */
function flushTables(fake: Fake) {
  for (const table of ["inet ocinet", "bridge ocinet"]) {
    Object.values(hostOf(fake).tables[table]?.chains ?? {}).forEach((chain) => chain.rules = []);
  }
}

test("repair puts the rules back that were flushed from our tables", async () => {
  const { told, lost } = await repaired(flushTables);
  assert.deepEqual([told, lost], [["rules were gone, and are there again"], []]);
});

test("repair turns forwarding on again that was switched off, for all links or one", async () => {
  const damages = {
    "net/ipv4/ip_forward": (fake: Fake) => void (hostOf(fake).sysctls["net/ipv4/ip_forward"] = "0"),
    "net/ipv6/conf/all/forwarding": (fake: Fake) =>
      void (hostOf(fake).sysctls["net/ipv6/conf/all/forwarding"] = "0"),
    "net/ipv4/conf/br0/forwarding": (fake: Fake) =>
      void (linkNamed(hostOf(fake), "br0")!.sysctls["ipv4/conf/forwarding"] = "0"),
  };
  for (const [key, damage] of Object.entries(damages)) {
    const { told, lost } = await repaired(damage);
    assert.equal(told[0], `setting ${key} was changed, and is set again`);
    assert.deepEqual(lost, []);
  }
});

test("ls names forwarding that was switched off for a link", async () => {
  const { seen } = await repaired((fake) => {
    linkNamed(hostOf(fake), "br0")!.sysctls["ipv4/conf/forwarding"] = "0";
  });
  assert.equal(seen[0], "its setting net/ipv4/conf/br0/forwarding is changed; ocinet repair c0 mends it");
  // That of IPv6 is of all links: a container that found it on has not set it.
  const six = await repaired((fake) => {
    hostOf(fake).sysctls["net/ipv6/conf/all/forwarding"] = "0";
  });
  assert.equal(six.seen[0], "its setting net/ipv6/conf/all/forwarding is changed; ocinet repair c0 mends it");
  assert.deepEqual(six.lost, []);
});

test("repair makes a bridge again that was deleted, with its ports and addresses", async () => {
  const { told, lost } = await repaired((fake) => {
    const host = hostOf(fake);
    deleteLink(fake.kernel, host, linkNamed(host, "br0")!);
  });
  assert.match(told.join("\n"), /br0 was gone, and is there again/);
  assert.deepEqual(lost, []);
});

test("a bridge is not renamed under a container because its network's file has another name since", async () => {
  const fake = newHost();
  const add = (id: string, netns: string, bridge: string) => {
    const text = JSON.stringify({ cniVersion: "1.0.0", name: "blue", type: "bridge", bridge });
    const list = parseNetworkList(text, "blue");
    return attach(fake.world, state, {
      ...{ id, container: containerOfPath(fake.world, netns), replace: false },
      ...{ options: parseAttachOptions(new Map()), networks: [{ list, ifname: "eth0", args: "" }] },
    });
  };
  await add("c1", fake.addNamespace("box"), "br7");
  const refusal =
    /Cannot use bridge br8: container "c1" is on br7, the bridge of this network; keep that name, or/;
  await assert.rejects(add("c2", fake.addNamespace("other"), "br8"), refusal);
  assert.ok(linkNamed(hostOf(fake), "br7"));
});

test("repair makes a container's link again that was deleted", async () => {
  const { told, lost } = await repaired((fake) => {
    const host = hostOf(fake);
    const links = [...host.links.values()].filter(({ name }) => name.startsWith("veth"));
    deleteLink(fake.kernel, host, links.at(-1)!);
  });
  assert.match(told.join("\n"), /^link veth[0-9a-f]+ was gone, and is there again$/m);
  assert.deepEqual(lost, []);
});

test("repair gives a port the settings again that it loses when it leaves its bridge", async () => {
  const fake = await hostWith(containers, "firewall");
  const port = hostOf(fake).links.find(({ isolated }) => isolated)!;
  Object.assign(port, { hairpin: false, isolated: false });
  const [seen] = await describeAll(fake.world, state, ["c0"]);
  assert.equal(
    seen!.reason,
    `its setting "isolated" of port ${port.name} is gone; ocinet repair c0 mends it`,
  );
  assert.match(
    (await repair(fake.world, state, "c0")).join(),
    /^setting "isolated" .* was gone, and is there again$/,
  );
  assert.equal(port.isolated, true);
  assert.deepEqual(await repair(fake.world, state, "c0"), []);
});

/** What may become of the links that containers have, on either side. */
const damages: Readonly<Record<string, (namespace: Namespace, link: FakeLink) => void>> = {
  "are down": (namespace, link) => setUp(namespace, link, false),
  "have lost their addresses": (namespace, link) => {
    for (const { address } of [...link.addresses]) removeAddress(namespace, link, address);
  },
  "have lost their routes": (namespace, link) => {
    namespace.routes = namespace.routes.filter(({ index }) => index !== link.index);
  },
};

// One that is known by its first name as well gets its own back; a second one beside it would not be the container's.
for (const type of ["macvlan", "ipvlan", "vlan", "tap", "dummy"]) {
  test(`of ${type}: repair gives an interface its name back that the container has renamed`, async () => {
    const fake = await hostWith(containers, type);
    const before = dumpOf(fake);
    const [link] = fake.kernel.namespaces.filter((one) => one !== hostOf(fake)).flatMap(({ links }) =>
      links.filter(({ name }) => name === "eth0")
    );
    link!.name = "wan0";
    const { index } = link!;
    assert.deepEqual(await repair(fake.world, state, "c0"), ["link eth0 was gone, and is there again"]);
    assert.deepEqual([link!.name, link!.index], ["eth0", index]);
    assert.deepEqual(missingFrom(before, dumpOf(fake)), []);
  });
}

/** Links of the host's that are there for containers. */
const isOurs = ({ name }: FakeLink) => /^(veth|br0|cni0)/.test(name);

for (const type of networkTypes.filter((one) => one !== "loopback")) {
  test(`of ${type}: repair finds nothing where nothing is wrong, and mends what is down, flushed or deleted`, async () => {
    const fake = await hostWith(containers, type);
    await containers.add(fake.world, type, "c1");
    const ids = ["c0", "c1"];
    const before = dumpOf(fake);
    const states = async () =>
      (await describeAll(fake.world, state, ids)).map(({ state }) => state).join(" ");
    assert.equal(await states(), "up up");
    for (const id of ids) assert.deepEqual(await repair(fake.world, state, id), []);
    assert.deepEqual(dumpOf(fake), before);
    for (const [what, damage] of Object.entries(damages)) {
      for (const place of ["host", "container"]) {
        for (const namespace of fake.kernel.namespaces) {
          const isHost = namespace === hostOf(fake);
          if (isHost !== (place === "host")) continue;
          for (const link of namespace.links.filter((one) => isHost ? isOurs(one) : one.name !== "lo")) {
            damage(namespace, link);
          }
        }
        const isDamaged = missingFrom(before, dumpOf(fake)).length > 0;
        if (place === "host" && isDamaged) assert.match(await states(), /partial/, what);
        const told = [await repair(fake.world, state, "c0"), await repair(fake.world, state, "c1")].flat();
        const left = missingFrom(before, dumpOf(fake)).filter((line) =>
          !line.startsWith("file /run/ocinet/")
        );
        assert.deepEqual(left, [], `${place}'s links ${what}: ${told.join("; ")}`);
        assert.equal(await states(), "up up");
        for (const id of ids) assert.deepEqual(await repair(fake.world, state, id), []);
      }
    }
  });
}

test("an ip or nft that was killed tells nothing: nothing is called gone, and repair makes nothing again", async () => {
  const fake = await hostWith(containers, "portmap");
  await containers.add(fake.world, "portmap", "c1");
  const before = dumpOf(fake);
  for (const program of ["ip", "nft"]) {
    const run: World["run"] = (argv, options) =>
      argv[0] === program
        ? Promise.resolve({ code: 137, stdout: "", stderr: "" })
        : fake.world.run(argv, options);
    const world = { ...fake.world, run };
    const why = /^Error: Cannot look at (links by ip|rules by nft): it was ended by signal 9$/;
    await assert.rejects(repair(world, state, "c1"), why);
    if (program === "ip") {
      const [{ state: told, reason }] = await describeAll(world, state, ["c1"]) as [Description];
      assert.equal(`${told}: ${reason}`, "partial: Cannot look at links by ip: it was ended by signal 9");
      await assert.rejects(takeSample(world, state), why);
    }
    assert.deepEqual(dumpOf(fake), before);
  }
});

test("the agent of a cluster puts the rules of the host's containers back that another program removed", async () => {
  const fake = await hostWith(containers, "portmap");
  const { world } = fake;
  const told: string[] = [];
  const agent = {
    ...{ world, state, tell: (line: string) => void told.push(line), problems: new Map() },
    restoreRules: () => restoreRules(world, state),
  } as unknown as Agent;
  const before = dumpOf(fake);
  const lost = async () => {
    await restoreHostRules(agent);
    return missingFrom(before, dumpOf(fake)).length;
  };
  assert.equal(await lost(), 0);
  assert.deepEqual(told, []);
  delete hostOf(fake).tables["inet ocinet"];
  // The next look is not due, unless a signal asks for it.
  assert.notEqual(await lost(), 0);
  delete agent.rulesLooked;
  assert.equal(await lost(), 0);
  const said = "put rules of containers back: another program had removed them";
  assert.deepEqual(told, [said]);
  flushTables(fake);
  delete agent.rulesLooked;
  assert.equal(await lost(), 0);
  assert.deepEqual(told, [said, said]);
});
