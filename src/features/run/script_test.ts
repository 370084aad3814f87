import assert from "node:assert/strict";
import { test } from "node:test";
import { becomeScript, bytesOf, changeEnvironment, exitScript, quoteBytes, textOf } from "./script.ts";

const way = { words: 2, env: "/usr/bin/env", enter: ["/usr/bin/nsenter", "--net=/proc/7/ns/net"] };

test("a shell becomes the command with its last words, in its directory, with just its environment", () => {
  assert.equal(
    becomeScript(way, ["A=1", "a-b=\xff '\n"]),
    'shift $(($# - 2)); if [ -d "$PWD" ]; then ocinet_plan=--wdns=$PWD; else ocinet_plan=--wd=.; fi; ' +
      "exec '/usr/bin/env' '-i' 'A=1' 'a-b=\xff '\\'''\"$ocinet_newline\"'' " +
      `'/usr/bin/nsenter' '--net=/proc/7/ns/net' "$ocinet_plan" -- "$@"`,
  );
});

test("it enters its cgroup first, and does not count what is long twice", () => {
  const script = becomeScript({ ...way, cgroup: "/sys/fs/cgroup/x" }, [`A=${"a".repeat(2000)}`, "B=2"]);
  assert.match(
    script,
    /^shift \S+ - 2\)\); echo "\$\$" >'\/sys\/fs\/cgroup\/x\/cgroup.procs'; .*; unset A; exec /,
  );
});

test("an environment is changed, and what is no variable left out", () => {
  assert.deepEqual(
    changeEnvironment("A=1\0B=2=3\0none\0=x\0F()=\xfe\0", { A: "é", C: undefined, D: undefined }),
    ["B=2=3", "F()=\xfe", "A=\xc3\xa9"],
  );
});

test("a shell says something on one line, and ends", () => {
  assert.equal(exitScript(125, ""), "exit 125");
  assert.equal(exitScript(0, "a\nb"), "printf %s 'a'\"$ocinet_newline\"'b'; exit 0");
  assert.equal(quoteBytes("it's"), "'it'\\''s'");
});

test("bytes and text", () => {
  assert.equal(bytesOf("é"), "\xc3\xa9");
  assert.equal(textOf("\xc3\xa9\xff"), "é\ufffd");
});
