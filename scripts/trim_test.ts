import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  commander,
  commanderArgument,
  commanderHelp,
  commanderOption,
  dnsPacket,
  ipaddr,
  trimmed,
} from "./trim.ts";

test("packages are bundled without what ocinet does not use, and their lines stay where they are", () => {
  for (
    const [trim, path, gone, kept] of [
      [commander, "commander/lib/command.js", "childProcess.spawn", "outputHelp("],
      [commanderOption, "commander/lib/option.js", "DualOptions", "isBoolean()"],
      [commanderArgument, "commander/lib/argument.js", "Allowed choices", "name() {"],
      [commanderHelp, "commander/lib/help.js", "argument.argChoices", "visibleOptions(cmd) {"],
      [dnsPacket, "dns-packet/index.js", "exports.nsec3 ", "exports.decode = "],
      [ipaddr, "ipaddr.js/lib/ipaddr.js", "parseCIDR = ", "ipaddr.process = "],
    ] as const
  ) {
    const source = readFileSync(`node_modules/${path}`, "utf8");
    const small = trimmed(source, trim);
    assert.ok(source.includes(gone) && !small.includes(gone));
    assert.equal(small.split("\n").length, source.split("\n").length);
    const lineOf = (text: string) => text.split("\n").findIndex((line) => line.includes(kept));
    assert.equal(lineOf(small), lineOf(source));
    assert.throws(() => trimmed("class Command {}\n", trim), /^Error: Cannot leave out what is not in /);
  }
});
