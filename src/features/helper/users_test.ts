import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../../plan/world.ts";
import { grantedBy, grantsFor, readPolicy } from "./users.ts";

const path = "/etc/ocinet/helper.conf";

/** A machine with these accounts and groups, as getent(1) has them. */
const world = {
  run: ([, , database, ...names]: readonly string[]) => {
    const rows = {
      passwd: [
        "root:x:0:0::/root:/bin/sh",
        "alice:x:1000:100:::",
        "bob:x:1001:200:::",
        "carol:x:1002:300:::",
      ],
      group: ["users:x:100:bob,root", "web:x:200:", "none:x:400:"],
    }[database as "passwd" | "group"];
    const found = rows.filter((row) => {
      const [name, , number] = row.split(":");
      return names.length === 0 || names.includes(name!) || names.includes(number!);
    });
    return Promise.resolve({ code: 0, stdout: found.map((row) => `${row}\n`).join(""), stderr: "" });
  },
} as Partial<World> as World;

test("users are found by name and number, members by their group's list and their own first group", async () => {
  const text =
    "alice veth a 1\n1002 veth a 2\n@users veth b 3\n@web port 80\n@none veth c 1\nnobody-here veth c 1\n";
  const granted = await grantedBy(world, path, text);
  const shown = [...granted.users.values()].map(({ uid, gid, names }) => [uid, gid, [...names].join(" ")]);
  assert.deepEqual(shown, [
    [1000, 100, "alice 1000 @users"],
    [1002, 300, "carol 1002"],
    [1001, 200, "bob 1001 @users @web"],
  ]);
  assert.deepEqual(granted.unknown, ["@none", "nobody-here"]);
  assert.deepEqual([...grantsFor(granted, 1000).networks], [["a", 1], ["b", 3]]);
  assert.deepEqual(grantsFor(granted, 1001).ports, [{ first: 80, last: 80 }]);
  assert.deepEqual(grantsFor(granted, 0), { networks: new Map(), ports: [] });
});

test("a policy counts only if root alone can have written it", () => {
  const having = (uid: number, mode: number) =>
    ({
      stat: () => ({ kind: "file", identity: "", uid, modified: 0, mode }),
      read: () => "alice veth a 1\n",
    }) as Partial<World> as World;
  assert.equal(readPolicy(having(0, 0o644), path), "alice veth a 1\n");
  for (const [uid, mode] of [[1000, 0o644], [0, 0o664], [0, 0o646]] as const) {
    assert.throws(() => readPolicy(having(uid, mode), path), {
      message:
        `Cannot use policy ${path}: others than root may write it; chown root ${path} && chmod 644 ${path}`,
    });
  }
  assert.throws(() => readPolicy({ stat: () => undefined } as Partial<World> as World, path), {
    message: /^Cannot read policy \S+: there is none; a line such as "alice veth ocinet0 10" begins one$/,
  });
});
