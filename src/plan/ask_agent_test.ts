import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { askAgent } from "./ask_agent.ts";
import type { World } from "./world.ts";

/** An agent with a lock that answers late, or never. @param statuses what /proc tells of it, look by look */
function agent(statuses: readonly string[], answer: Promise<string> = new Promise(() => {})) {
  let looks = 0;
  const files: Record<string, string> = {
    "/proc/8/fd/5": "/s/locks/.agent",
    "/proc/8/fdinfo/5": "lock:\t1: FLOCK  ADVISORY  WRITE 8 00:1:2 0 EOF\n",
  };
  // One of a container's has another file by the same path.
  for (const path of Object.keys(files)) files[path.replace("8", "7")] = files[path]!;
  const world = {
    list: (path: string) => path === "/proc" ? ["7", "8"] : ["5"],
    stat: (path: string) => ({ identity: path.startsWith("/proc/7/") ? "1:7" : "1:8" }),
    readLink: (path: string) => files[path],
    read: (path: string) =>
      path === "/proc/8/status" ? statuses[Math.min(looks++, statuses.length - 1)] : files[path],
    request: (_: string, text: string) =>
      text === "asked\n" ? answer : Promise.reject(new Error("no answer")),
  } as unknown as World;
  return { world, looks: () => looks };
}

const status = (state: string, switches: number) =>
  `Name:\tdeno\nState:\t${state}\nVmRSS:\t ${switches} kB\nvoluntary_ctxt_switches:\t${switches}\nnonvoluntary_ctxt_switches:\t7\n`;

/** What is answered, and after how many seconds. */
async function asked(world: World): Promise<readonly [string, number]> {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    let said: string | undefined;
    void askAgent(world, "/s/agent.sock", "asked\n").then((answer) => said = answer);
    for (let tenths = 0; tenths < 600; tenths++) {
      for (let i = 0; i < 10; i++) await Promise.resolve();
      if (said !== undefined) return [said, tenths / 10];
      mock.timers.tick(100);
    }
    return ["none", 60];
  } finally {
    mock.timers.reset();
  }
}

test("an agent that is stopped or frozen is not waited for", async () => {
  for (const one of [status("T (stopped)", 5), status("t (tracing stop)", 5), status("S (sleeping)", 5)]) {
    const [said, seconds] = await asked(agent([one]).world);
    assert.deepEqual(JSON.parse(said), {
      error:
        'Cannot ask the agent of this host: its process 8 is stopped or frozen; "kill -CONT 8" has it go on',
      code: 50,
    });
    assert.equal(seconds, 4.5);
  }
});

test("an agent that lives is waited for, however slow the machine is", async () => {
  const many = (one: (i: number) => string) => Array.from({ length: 60 }, (_, i) => one(i));
  for (
    const statuses of [
      // It waits for its turn on the processor, or for a disk; it wakes up, or is stopped for a moment again and again.
      [status("R (running)", 5)],
      [status("D (disk sleep)", 5)],
      many((i) => status("S (sleeping)", i)),
      many((i) => status(i % 3 === 2 ? "R (running)" : "T (stopped)", 5)),
      // It has ended, or /proc hides it.
      [""],
    ]
  ) assert.deepEqual(await asked(agent(statuses).world), ["none", 60], statuses[0]);
  const { world, looks } = agent([""], Promise.resolve("at once"));
  assert.deepEqual([await asked(world), looks()], [["at once", 0], 0]);
});
