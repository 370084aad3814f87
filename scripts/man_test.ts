import assert from "node:assert/strict";
import { test } from "node:test";
import { allTopics } from "../src/commands/topics.ts";
import { verbs } from "../src/commands/verbs.ts";
import { pages } from "./man.ts";

const all = pages("1.2.3", "2026-11-29");
const page = (file: string) => all.find((one) => one.file === file)!.text;

test("there is a manual page for the program, each group and each command, and each is named once", () => {
  const files = all.map(({ file }) => file);
  assert.equal(new Set(files).size, files.length);
  assert.equal(files.length, verbs.length + 1 + new Set(verbs.flatMap(({ group }) => group ?? [])).size);
  for (const file of ["ocinet.1", "ocinet-run.1", "ocinet-network.1", "ocinet-network-create.1"]) page(file);
});

test("topics are in the page of help, and the program's page lists them and has their tables", () => {
  for (const { name, rows } of allTopics()) {
    const words = (word: string) => word.replaceAll("-", "\\-");
    assert.ok(page("ocinet.1").includes(`\n.B ${words(name)}\n`), name);
    assert.ok(page("ocinet-help.1").includes(`\n.SH "${words(name.toUpperCase())}"\n`), name);
    assert.ok(page("ocinet-help.1").includes(`\n.B ${words(rows[0]![0]).replaceAll("~", "\\(ti")}\n`), name);
  }
  assert.match(page("ocinet.1"), /\n\.SH FILES\n\.TP\n\.B \/etc\/ocinet\/net\.d, /);
});

test("a page has all options under their headings, and says nothing that roff takes for a request", () => {
  const run = page("ocinet-run.1");
  assert.match(run, /^\.TH OCINET-RUN 1 2026-11-29 "ocinet 1\.2\.3" "ocinet manual"$/m);
  assert.match(run, /\n\.SS "Ports"\n\.TP\n\.B \\-p, \\-\\-publish PORTS\n/);
  assert.match(page("ocinet-up.1"), /\n\.B \\-\\-dry\\-run\n/);
  assert.doesNotMatch(run, /dry\\-run/);
  for (const { file, text } of all) {
    for (const line of text.split("\n").filter((one) => /^[.']/.test(one))) {
      assert.match(line, /^\.(TH|SH|SS|TP|BR?|EX|EE|PP|nh|ad)\b/, `${file}: ${line}`);
    }
  }
});
