import assert from "node:assert/strict";
import { test } from "node:test";
import { endFlowsTo } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { endFlows } from "./conntrack.ts";

const listed =
  `udp      17 29 src=192.0.2.2 dst=192.0.2.1 sport=4000 dport=53 [UNREPLIED] src=192.0.2.1 dst=192.0.2.2 sport=53 dport=4000 mark=0 use=1
udp      17 119 src=192.0.2.3 dst=192.0.2.1 sport=4000 dport=53 src=10.0.0.2 dst=192.0.2.3 sport=53 dport=4000 [ASSURED] mark=0 use=1
udp      17 29 src=10.0.0.3 dst=198.51.100.1 sport=4000 dport=53 src=198.51.100.1 dst=192.0.2.1 sport=53 dport=4000 mark=0 use=1
udp      17 29 src=2001:db8::2 dst=2001:db8::1 sport=53 dport=54 src=fd00::2 dst=2001:db8::2 sport=54 dport=53 mark=0 use=1
udp      17 29 src=192.0.2.2 dst=192.0.2.1 sport=53 dport=55 src=10.0.0.2 dst=192.0.2.2 sport=55 dport=53 mark=0 use=1
`;

test("flows to the host's own addresses end, a process for each address and port, and those of others stay", async () => {
  const runs: string[] = [];
  const world = {
    hasAddress: (address: string) => Promise.resolve(["192.0.2.1", "2001:db8::1"].includes(address)),
    run: (argv: readonly string[]) => {
      if (argv[0] === "ip") return Promise.resolve({ code: 0, stdout: "", stderr: "" });
      runs.push(argv.join(" "));
      return Promise.resolve({ code: 0, stdout: listed, stderr: "" });
    },
  } as unknown as World;
  await endFlows(world, [], [endFlowsTo("56")]);
  assert.deepEqual(runs.splice(0), ["conntrack -L -p udp --orig-port-dst 56"]);
  await endFlows(world, ["in"], [
    ...["53", "54"].map((port) => endFlowsTo(port)),
    endFlowsTo("55", "192.0.2.9"),
    endFlowsTo("56"),
  ]);
  assert.deepEqual(runs, [
    "in conntrack -L -p udp",
    "in conntrack -D -p udp --orig-dst 192.0.2.1 --orig-port-dst 53",
    "in conntrack -D -p udp --orig-dst 2001:db8::1 --orig-port-dst 54",
  ]);
});

test("a conntrack that hangs is not waited for longer than five seconds", async () => {
  const limits: unknown[] = [];
  const world = {
    hasAddress: () => Promise.resolve(true),
    run: (argv: readonly string[], options?: { readonly timeout?: number }) => {
      if (argv[0] === "conntrack") limits.push(options?.timeout);
      // As the host room answers for a program that it had to end.
      return Promise.resolve({ code: 143, stdout: argv[1] === "-L" ? listed : "", stderr: "" });
    },
  } as unknown as World;
  await endFlows(world, [], [endFlowsTo("53")]);
  assert.ok(limits.length > 0 && limits.every((limit) => limit === 5000), String(limits));
});
