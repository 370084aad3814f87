import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { hiddenFiles, misspeltKeys } from "./mistakes.ts";
import { loadNetworks } from "./networks.ts";

const directory = "/etc/ocinet/net.d";

test("keys that are nearly those that a type reads are told, and no others", () => {
  const fake = newFake();
  const ipam = {
    ...{ type: "host-local", subnets: "10.1.0.0/16", subnet: "10.1.1.0/24", rout: [] },
    ...{
      ranges: [[{ subnet: "10.2.0.0/16", rangeStrt: "10.2.0.9" }]],
      routes: [{ dts: "0.0.0.0/0" }, { dts: "::/0" }],
    },
  };
  const plugins = [
    {
      type: "bridge",
      isGatway: true,
      ipmasq: true,
      brigde: "x",
      "io.example/extra": 1,
      comment: "mine",
      ipam,
    },
    { type: "portmap", conditionV4: ["-i", "eth0"], capabilites: { portMappings: true } },
    { type: "bandwidth", capabilities: { bandwith: true, "io.example.x": true } },
    { type: "somebody-elses", isGatway: true },
    { type: "tuning", sysctl: { "net.core.somaxcon": "5" }, mttu: 1400 },
  ];
  fake.place(
    `${directory}/10-shop.conflist`,
    JSON.stringify({ cniVersion: "1.0.0", name: "shop", disableChek: true, plugins }),
  );
  const shop = loadNetworks(fake.world, []).find(({ list }) => list.name === "shop")!;
  const where = (type: string) => ` of ${type} (network "shop", ${directory}/10-shop.conflist)`;
  assert.deepEqual(misspeltKeys(fake.world, shop), [
    `"disableChek" is not read, "disableCheck" is (network "shop", ${directory}/10-shop.conflist)`,
    `"isGatway" is not read, "isGateway" is${where("bridge")}`,
    `"brigde" is not read, "bridge" is${where("bridge")}`,
    `"ipam.subnets" is not read, "subnet" is${where("bridge")}`,
    `"ipam.ranges.rangeStrt" is not read, "rangeStart" is${where("bridge")}`,
    `"ipam.routes.dts" is not read, "dst" is${where("bridge")}`,
    `"conditionV4" is not read, "conditionsV4" is${where("portmap")}`,
    `"capabilites" is not read, "capabilities" is${where("portmap")}`,
    `"capabilities.bandwith" is not read, "bandwidth" is${where("bandwidth")}`,
    `"mttu" is not read, "mtu" is${where("tuning")}`,
  ]);
});

test("of two files with one network's name the second is told", () => {
  const fake = newFake();
  for (
    const [file, name] of [["10-a.conf", "shop"], ["20-b.conf", "shop"], ["30-c.conf", "other"]] as const
  ) {
    fake.place(`${directory}/${file}`, JSON.stringify({ name, type: "ptp" }));
  }
  fake.place(`${directory}/40-d.conf`, "{ nonsense");
  assert.deepEqual(hiddenFiles(fake.world, directory), [
    `${directory}/20-b.conf is passed over: ${directory}/10-a.conf has network "shop", too`,
  ]);
});
