import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../wire/oci/options.ts";
import { headingOf, wrap } from "./help.ts";
import { verbs } from "./verbs.ts";
import { asMeant } from "./words.ts";

test("paragraphs are wrapped, and lines that begin with blanks stay", () => {
  const text = "\nOne two three\nfour five.\n  alice   veth ocinet0 10\nSix seven eight.\n";
  assert.equal(
    wrap(text, 12),
    "\nOne two\nthree four\nfive.\n  alice   veth ocinet0 10\nSix seven\neight.\n",
  );
  assert.equal(wrap("a-word-that-is-too-long b", 5), "a-word-that-is-too-long\nb");
});

test("every command has its place in the help", () => {
  const names = verbs.map(({ group, usage }) => group ?? usage.split(" ")[0]!);
  const places = names.map((name) => headingOf(name).place);
  assert.equal(new Set(places).size, new Set(names).size);
  assert.deepEqual(headingOf("run"), { heading: "Containers and networks:", place: 0 });
});

test("help, and words of other tools, are what they mean", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["help", "--help"],
    ["help run", "run --help"],
    ["help session start", "session start --help"],
    ["help ps", "ls --help"],
    ["ps --json", "ls --json"],
    ["prune", "gc"],
    ["attach /run/netns/box", "up /run/netns/box"],
    ["detach box", "down box"],
    ["run ps", "run ps"],
    ["nonsense", "nonsense"],
    ["constructor", "constructor"],
  ];
  for (const [typed, meant] of rows) assert.deepEqual(asMeant(typed.split(" ")), meant.split(" "), typed);
  assert.throws(() => asMeant(["connect", "shop", "box"]), (error: Error) => {
    return error instanceof UsageError &&
      /^There is no command "connect": ocinet up --net/.test(error.message);
  });
});
