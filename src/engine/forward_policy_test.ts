import assert from "node:assert/strict";
import { test } from "node:test";
import { passMark } from "../plan/nft/chains.ts";
import type { World } from "../plan/world.ts";
import { endsInReject, hasFilterChain, passPolicies } from "./forward_policy.ts";

const chain = (...rules: readonly string[]) =>
  ["table ip filter {", "\tchain FORWARD {", "\t\ttype filter hook forward priority filter; policy accept;"]
    .concat(rules.map((rule) => `\t\t${rule}`), "\t}", "}", "").join("\n");

test("a chain ends in reject or drop where its last rule has no condition", () => {
  const ends = ["drop", "reject with icmpx admin-prohibited", "counter packets 7 bytes 9 drop"].map((rule) =>
    chain(rule)
  );
  const goesOn = [[], ["drop", "accept"], ["ct state invalid drop"], ["jump X"]].map((rules) =>
    chain(...rules)
  );
  assert.deepEqual(ends.map(endsInReject), [true, true, true]);
  assert.deepEqual(goesOn.map(endsInReject), [false, false, false, false]);
  assert.ok(
    endsInReject("-P FORWARD ACCEPT\n-A FORWARD -i a -j ACCEPT\n-A FORWARD -j REJECT --reject-with x\n"),
  );
  assert.ok(!endsInReject("-P FORWARD DROP\n-A FORWARD -i a -j DROP\n"));
});

test("a FORWARD chain is found among others, or by the kernel's own list of tables", () => {
  const world = (names?: string) => ({ read: () => names }) as unknown as World;
  const docker = "table ip nat {\n\tchain FORWARD {\n\t}\n}\n";
  const filter =
    "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n" +
    "\tchain FORWARD {\n\t}\n}\n";
  assert.ok(hasFilterChain(world(), docker + filter));
  assert.ok(hasFilterChain(world(), filter.replace("ip", "ip6")));
  assert.ok(!hasFilterChain(world("nat\n"), docker));
  assert.ok(hasFilterChain(world("nat\nfilter\n"), docker));
});

test("our rule is put back where it has gone, after an administrator's chain", async () => {
  const runs: string[] = [];
  const has = {
    "nft list chain ip filter FORWARD": chain("jump CNI-ADMIN"),
    "iptables --wait -S FORWARD": "",
  };
  const rules = "-P FORWARD DROP\n-A FORWARD -j X\n" +
    '-A FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN\n-A FORWARD -j Y\n';
  const run = (argv: readonly string[]) => {
    const command = argv.join(" ");
    runs.push(command);
    const said = command === "iptables --wait -S FORWARD" ? rules : has[command as keyof typeof has] ?? "";
    return Promise.resolve({ code: 0, stdout: said, stderr: "" });
  };
  const world = {
    ...{ run, env: () => "/sbin", read: () => undefined },
    stat: (path: string) => path === "/sbin/iptables" ? { kind: "file", mode: 0o755 } : undefined,
  } as unknown as World;
  assert.deepEqual(await passPolicies(world, [], ["FORWARD"]), ["iptables FORWARD"]);
  const put = `iptables --wait -I FORWARD 3 -m mark --mark ${passMark}/${passMark} -j ACCEPT`;
  assert.deepEqual(runs.filter((command) => command.includes(" -I ")), [put]);
});
