import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Send } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { parseRequest, writeAnswer } from "../../wire/overlay/requests.ts";
import * as cluster from "./cluster.ts";

const at = {
  ...{ containerId: "c1", network: "shop", ifname: "eth0" },
  args: new Map([["IP", "10.9.0.3,fd00:9::3/64"]]),
} as unknown as Attachment;
const ips = [{ address: "10.9.0.3/24", gateway: "10.9.0.1" }];

function answering(answer: () => Promise<string>) {
  const asked: (readonly [string, string])[] = [];
  const world = {
    env: () => undefined,
    request: (socket: string, text: string) => {
      asked.push([socket, text]);
      return answer();
    },
  } as unknown as World;
  return { world, asked };
}

test("addresses are claimed by the agent, and given back by undoing a step", async () => {
  const { world, asked } = answering(() =>
    Promise.resolve(writeAnswer({ value: { mac: "02:6f:0a:09:00:03", ips } }))
  );
  const lease = await cluster.lease(cluster.parse(fields({ ipam: { type: "cluster" } })), at, world);
  assert.deepEqual(lease.ips, ips);
  const [[socket, text]] = asked as [readonly [string, string]];
  assert.equal(socket, "/run/ocinet/agent.sock");
  const owner = { network: "shop", id: "c1", ifname: "eth0" };
  assert.deepEqual(parseRequest(text), { do: "claim", ...owner, wanted: ["10.9.0.3", "fd00:9::3"] });
  const [step] = lease.steps as readonly [Send];
  assert.equal(step.run, undefined);
  assert.deepEqual(parseRequest(step.undo!), { do: "release", ...owner });
});

test("an agent that cannot be asked is named with the remedy, and a refusal in the agent's words", async () => {
  const conf = cluster.parse(fields({ ipam: { type: "cluster" } }));
  const away = answering(() => Promise.reject(new Error("refused"))).world;
  await assert.rejects(cluster.lease(conf, at, away), {
    code: 50,
    message: /^Cannot ask the agent of this host: refused; start it with "ocinet agent"/,
  });
  const full = answering(() => Promise.resolve(writeAnswer({ error: "5 of 5 are taken" }))).world;
  await assert.rejects(cluster.lease(conf, at, full), { code: 999, message: "5 of 5 are taken" });
  for (const text of ["", "x", '{"value":{"mac":"02:6f:0a:09:00:03","ips":[{"address":"x"}]}}']) {
    await assert.rejects(
      cluster.lease(conf, at, answering(() => Promise.resolve(text)).world),
      /^Error: (Cannot read|the agent gave no answer)/,
    );
  }
});

test("a request of which every byte may be hostile", () => {
  const base = { do: "claim", network: "shop", id: "c1", ifname: "eth0" };
  for (
    const more of [
      ...[{ network: "../x" }, { network: "" }, { network: 7 }, { id: "a b" }, { ifname: "a/b" }, {
        ifname: "",
      }],
      ...[{ do: "rm" }, { do: null }, { wanted: ["x"] }, { id: "a".repeat(300) }],
    ]
  ) {
    assert.throws(
      () => parseRequest(JSON.stringify({ ...base, ...more })),
      /^Error: Cannot /,
      JSON.stringify(more),
    );
  }
  for (const line of ["", "{", "null", "[]", "7"]) assert.throws(() => parseRequest(line), /Cannot read/);
  assert.deepEqual(parseRequest(JSON.stringify(base)), { ...base, wanted: [] });
});
