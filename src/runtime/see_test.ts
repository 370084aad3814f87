import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { see, type Wanted } from "./see.ts";

const nothing: Wanted = {
  ...{ links: [], sysctls: [], devices: [], files: [], reached: [] },
  ...{ defaultLink: false, defaultMaster: false, inside: false, insideSysctls: [], answers: [] },
};

test("see() tells by which link an address is reached: that of the narrowest route", async () => {
  const route = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	020200C0	0003	0	0	0	00000000	0	0	0
cni0	0001010A	00000000	0001	0	0	0	00FFFFFF	0	0	0
veth1	0901010A	00000000	0005	0	0	0	FFFFFFFF	0	0	0
`;
  const read = (routes: string) => ({ read: () => routes }) as unknown as World;
  const reached = ["10.1.1.2", "10.1.1.9", "192.0.2.9"];
  const seen = await see(read(route), { ...nothing, reached }, undefined);
  assert.deepEqual([...seen.reached!], [["10.1.1.2", "cni0"], ["10.1.1.9", "veth1"], ["192.0.2.9", "eth0"]]);
  assert.deepEqual([...(await see(read(""), { ...nothing, reached }, undefined)).reached!], []);
});
