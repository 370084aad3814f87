import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fake } from "../host/fake.ts";
import { linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { attach } from "../features/container/attach.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import type { CniError } from "../wire/cni/error.ts";
import { containers, hostWith, netnsOf, ways } from "./actions.ts";
import { newHost, state } from "./machine.ts";
import { networkOf } from "./networks.ts";

function addressesOf({ kernel }: Fake, id: string): readonly string[] {
  const inside = namespaceOf(kernel, kernel.mounts[netnsOf(id)]!);
  return linkNamed(inside, "eth0")!.addresses.map(({ address }) => address);
}

for (const first of ways) {
  for (const second of ways) {
    test(`two containers on one network have two addresses, by ${first.name} and by ${second.name}`, async () => {
      const fake = await hostWith(first, "bridge");
      await second.add(fake.world, "bridge", "c1");
      const [c0, c1] = [addressesOf(fake, "c0"), addressesOf(fake, "c1")];
      assert.equal(c0.length, 2);
      for (const address of c1) assert.ok(!c0.includes(address), address);
      await first.remove(fake.world, "bridge", "c0");
      await second.remove(fake.world, "bridge", "c1");
      const left = [`${state}/networks/blue`, "/var/lib/cni/networks/blue"].flatMap((path) =>
        fake.world.list(path)
      );
      assert.deepEqual(left.filter((name) => !name.startsWith("last_reserved_ip")), []);
    });
  }
}

test("an address that is asked for, and that a CNI runtime has given, is refused with who has it", async () => {
  const fake = newHost();
  fake.place("/var/lib/cni/networks/blue/10.1.1.9", "c7\r\neth0");
  const wanted = {
    ...{ id: "c1", container: containerOfPath(fake.world, fake.addNamespace("box")), replace: false },
    options: parseAttachOptions(new Map()),
    networks: [{ list: networkOf("ptp", "c1"), ifname: "eth0", args: "IP=10.1.1.9" }],
  };
  await assert.rejects(
    attach(fake.world, state, wanted),
    ({ message, details }: CniError) =>
      /10\.1\.1\.9 is not available/.test(message) && /"c7" has it/.test(details),
  );
  // That of an earlier boot belongs to no container.
  const boot = "0123456789abcdef0123456789abcdef.earlier";
  const { identity, modified } = fake.world.stat("/var/lib/cni/networks/blue/10.1.1.9")!;
  fake.place(
    `/var/lib/cni/networks/.boots/${boot}/blue/10.1.1.9`,
    `${identity.split(":")[1]} ${modified}`,
  );
  await attach(fake.world, state, wanted);
});

test("a network reserves no address that a container has on another, whose subnet it shares", async () => {
  const fake = await hostWith(containers, "static");
  await containers.add(fake.world, "static", "c1");
  assert.deepEqual(addressesOf(fake, "c1"), ["10.1.1.77/24"]);
  await attach(fake.world, state, {
    ...{ id: "c2", container: containerOfPath(fake.world, netnsOf("c2")), replace: false },
    options: parseAttachOptions(new Map()),
    networks: [{ list: { ...networkOf("ptp", "c2"), name: "green" }, ifname: "eth0", args: "IP=10.1.1.9" }],
  });
  assert.equal(fake.world.stat(`${state}/networks/green/10.1.1.77`), undefined);
});
