import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import { forwardPort } from "../plan/nft/ports.ts";
import type { World } from "../plan/world.ts";
import { apply } from "./apply.ts";
import { addRoute, setLink } from "../plan/ip.ts";
import { setSysctl } from "../plan/step.ts";
import { type StepError, TakenError } from "./step_error.ts";

const port = { protocol: "tcp", hostPort: 8080, address: "10.1.2.3", port: 80 };
const everywhere = forwardPort("c1 veth1", port);
const onOne = forwardPort("c1 veth1", { ...port, hostIp: "192.0.2.1" });

/** A World with the output or the error of each command, and a record of all commands and their inputs. */
function worldOf(answers: (command: string, runs: readonly string[]) => { out?: string; error?: string }) {
  const runs: string[] = [];
  const run = (argv: readonly string[], { stdin = "" } = {}) => {
    const command = `${argv.join(" ")} ${stdin}`.trim();
    const { out = "", error } = answers(command, runs);
    runs.push(command);
    return Promise.resolve({ code: error === undefined ? 0 : 1, stdout: out, stderr: error ?? "" });
  };
  return { runs, world: { ...newFake().world, run } as World };
}

const exists = "/dev/stdin:3:1-2: Error: Could not process rule: File exists";
const held =
  'table inet ocinet {\n\tmap ports4 {\n\t\telements = { tcp . 8080 comment "c2 veth2" : 10.1.9.9 . 80 }\n\t}\n}';

test("a port that another container has is refused with the name of who has it", async () => {
  const { world, runs } = worldOf((command) =>
    command.startsWith("nft -f") ? { error: exists } : command.startsWith("nft get") ? { out: held } : {}
  );
  await assert.rejects(apply(world, { host: [], container: [] }, [everywhere]), (error) => {
    assert.ok(error instanceof TakenError);
    assert.equal(`${error.message}: ${error.details}`, 'Cannot publish port 8080/tcp: container "c2" has it');
    return true;
  });
  assert.deepEqual(runs.slice(1), [
    "nft get element inet ocinet ports4 { tcp . 8080 }",
    "ip link show dev veth2",
  ]);
});

test("there may be more steps than a call takes arguments", async () => {
  const { world } = worldOf(() => ({}));
  const steps = Array.from({ length: 150_000 }, () => setLink("host", "br0", "up"));
  await apply(world, { host: [], container: [] }, steps);
});

test("a port of a container whose link has gone is free", async () => {
  const { world, runs } = worldOf((command, before) => {
    if (command.startsWith("nft -f")) {
      return before.some((line) => line.includes("delete element")) ? {} : { error: exists };
    }
    if (command.startsWith("nft get")) return { out: held };
    return command.startsWith("ip link") ? { error: 'Device "veth2" does not exist.' } : {};
  });
  await apply(world, { host: [], container: [] }, [everywhere]);
  assert.deepEqual(runs.slice(1, 4), [
    "nft get element inet ocinet ports4 { tcp . 8080 }",
    "ip link show dev veth2",
    "nft delete element inet ocinet ports4 { tcp . 8080 }",
  ]);
});

test("a port on all addresses is taken back where another container has it on one", async () => {
  const listed = held.replaceAll("ports4", "hostports4").replace("tcp . 8080", "192.0.2.1 . tcp . 8080");
  const { world, runs } = worldOf((command) => command.includes("list map") ? { out: listed } : {});
  await assert.rejects(apply(world, { host: [], container: [] }, [everywhere]), {
    message: "Cannot publish port 8080/tcp",
    details: 'container "c2" has it',
  });
  const lists = ["hostports4", "ranges4"].map((map) => `list map inet ocinet ${map}\n`).join("");
  assert.equal(runs[0], `nft -f - ${lists}${everywhere.run}`);
  assert.deepEqual(runs.slice(1), ["ip link show dev veth2", `nft -f - ${everywhere.undo}`]);
});

test("a port in another container's range is refused, and free once its link has gone", async () => {
  for (
    const [step, id, link] of [[onOne, "c2", "gone"], [everywhere, "c2", "there"], [
      everywhere,
      "c1",
      "there",
    ]] as const
  ) {
    const range = `elements = { tcp . 8000-8999 comment "${id} veth2" : 10.1.9.9 }`;
    const { world, runs } = worldOf((command) => {
      if (command.includes("list map inet ocinet ranges4")) {
        return { out: `table inet ocinet {\n\tmap ranges4 {\n\t\t${range}\n\t}\n}` };
      }
      return command.startsWith("ip link") && link === "gone"
        ? { error: 'Device "veth2" does not exist.' }
        : {};
    });
    const applied = apply(world, { host: [], container: [] }, [step]);
    const isRefused = id === "c2" && link === "there";
    if (isRefused) await assert.rejects(applied, { details: 'container "c2" has it' });
    else await applied;
    const freed = runs.includes("nft delete element inet ocinet ranges4 { tcp . 8000-8999 }");
    assert.equal(freed, link === "gone", `${id} ${link}`);
  }
});

test("a port on one address is looked for on all of them, too", async () => {
  const { world } = worldOf((command) => {
    if (command.startsWith("nft -f")) return { error: exists.replace(":3:", ":2:") };
    return command === "nft get element inet ocinet ports4 { tcp . 8080 }"
      ? { out: held }
      : { error: "No such file" };
  });
  await assert.rejects(apply(world, { host: [], container: [] }, [onOne]), {
    message: "Cannot publish port 8080/tcp on 192.0.2.1",
    details: 'container "c2" has it',
  });
});

test("an address that another route leads to is refused with the container that has it, or else the link", async () => {
  for (const dst of ["10.9.9.9/32", "fd99::9/128"]) {
    const address = dst.split("/")[0]!;
    const set = `members${address.includes(":") ? 6 : 4}`;
    const element =
      `table inet ocinet {\n\tset ${set} {\n\t\telements = { "veth9" . ${address} comment "c2 veth9" }\n\t}\n}`;
    const refusal = async (on: "host" | "container", held: string) => {
      const { world } = worldOf((command) => {
        if (command.includes("-batch")) {
          return { error: "RTNETLINK answers: File exists\nCommand failed -:1" };
        }
        if (command === `ip -j -${set.at(-1)} route show table main ${dst}`) {
          return { out: '[{"dst":"x","dev":"veth9"}]' };
        }
        return command === `nft get element inet ocinet ${set} { "veth9" . ${address} }` ? { out: held } : {};
      });
      const applied = apply(world, { host: [], container: [] }, [addRoute(on, { dst }, "veth1")]);
      const error = await applied.then(() => assert.fail(), (error: StepError) => error);
      return `${error.message}: ${error.details}`;
    };
    const remedy = "choose another address";
    assert.equal(
      await refusal("host", element),
      `Cannot use address ${address} on link veth9: container "c2" has it; choose another, or end that container`,
    );
    for (const [on, place] of [["host", ""], ["container", "container: "]] as const) {
      assert.equal(
        await refusal(on, ""),
        `Cannot do "${place}ip route add ${dst} dev veth1": veth9 leads there already; remove it, or ${remedy}`,
      );
    }
  }
});

test("the sysctl is named that the kernel has not, or refuses", async () => {
  const key = "net/ipv4/conf/eth9/arp_filter";
  const steps = [
    setSysctl("container", "net/a", "1"),
    setSysctl("container", key, "x"),
    setLink("container", "eth0", "up"),
  ];
  for (
    const [said, told] of [
      [
        `sh: 1: cannot create /proc/sys/${key}: Directory nonexistent`,
        /^the kernel has no such setting \(sh: 1: /,
      ],
      ["sh: 1: echo: echo: I/O error", /^the kernel refuses it \(sh: 1: /],
    ] as const
  ) {
    const { world } = worldOf(() => ({ error: `${said}\nsysctl !${key}` }));
    await assert.rejects(apply(world, { host: [], container: ["in"] }, steps), (error) => {
      const { message, details } = error as StepError;
      assert.equal(message, `Cannot do "container: sysctl -w ${key}=x"`);
      return told.test(details);
    });
  }
});

test("a table of another version of ours is named", async () => {
  const { world } = worldOf((command) => {
    if (command.includes("add table inet ocinet")) return { error: exists };
    return command.startsWith("nft -f") ? { error: "x: Error: No such file or directory" } : {};
  });
  await assert.rejects(
    apply(world, { host: [], container: [] }, [onOne]),
    /one of another version of ocinet is there/,
  );
});
