import assert from "node:assert/strict";
import { test } from "node:test";
import { readRun } from "./run.ts";

test("readRun() takes the options before the command, and leaves the command's own alone", () => {
  assert.deepEqual(readRun(["-p", "8080:80", "--net=none", "--id", "box", "ls", "--net", "x", "--", "-l"]), {
    given: new Map([["publish", ["8080:80"]], ["net", ["none"]], ["id", ["box"]]]),
    command: ["ls", "--net", "x", "--", "-l"],
  });
  assert.deepEqual(readRun(["--", "--help"]), { given: new Map(), command: ["--help"] });
});

test("readRun() leaves to Commander what it cannot be sure of", () => {
  for (
    const line of [
      [],
      ["--"],
      ["--help"],
      ["-h", "ls"],
      ["--net"],
      ["--net", "none"],
      ["--nett", "none", "ls"],
      ["-p8080:80", "ls"],
      ["--log-level", "debug", "ls"],
      ["--net-dir", "nets", "ls"],
    ]
  ) {
    assert.equal(readRun(line), undefined, line.join(" "));
  }
});
