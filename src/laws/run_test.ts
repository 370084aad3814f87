import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOfPath } from "../engine/namespace.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { attachByFreeId } from "../features/run/run.ts";
import { newHost, state } from "./machine.ts";
import { networkOf } from "./networks.ts";

test("commands of one pid, each in a PID namespace of its own, have ids of their own, though they begin at once", async () => {
  const fake = newHost();
  const requests = ["one", "two"].map((name) => ({
    ...{ id: "run-1", container: containerOfPath(fake.world, fake.addNamespace(name)), replace: false },
    options: parseAttachOptions(new Map()),
    networks: [{ list: networkOf("ptp", "c1"), ifname: "eth0", args: "" }],
  }));
  await Promise.all(requests.map((request) => attachByFreeId(fake.world, state, request, 1)));
  assert.deepEqual(requests.map(({ id }) => id).toSorted(), ["run-1", "run-1-2"]);
  assert.deepEqual([...fake.world.list(`${state}/containers`)].toSorted(), ["run-1", "run-1-2"]);
});
