import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../features/doctor/doctor.ts";
import { reportOf } from "./doctor.ts";
import { asMeant } from "./words.ts";

const findings: readonly Finding[] = [
  { name: "ip", status: "ok", found: "6.1.0 (/usr/sbin/ip)" },
  { name: "nft", status: "missing", found: "not found", remedy: "apt-get install nftables" },
  { name: "conntrack", status: "warning", found: "not found", remedy: "apt-get install conntrack" },
  { name: "runc", status: "ok", found: "1.1.5 (/usr/sbin/runc)" },
];

test("doctor says a line of each finding, under it what to do, and what is missing last", () => {
  const { text, json, code } = reportOf(findings, "root's");
  assert.equal(
    text,
    [
      "ok       ip         6.1.0 (/usr/sbin/ip)",
      "ok       runc       1.1.5 (/usr/sbin/runc)",
      "warn     conntrack  not found",
      "         -> apt-get install conntrack",
      "MISSING  nft        not found",
      "         -> apt-get install nftables",
      "",
      "1 thing is missing for root's containers; 1 warning.",
      "",
    ].join("\n"),
  );
  assert.equal(code, 1);
  assert.deepEqual(json, findings);
});

test("doctor is content when nothing is missing", () => {
  const { text, code } = reportOf(findings.slice(0, 1), "your rootless");
  assert.match(text, /\n\nNothing is missing for your rootless containers\.\n$/);
  assert.equal(code, 0);
});

test("doctor with a container names the command for that", () => {
  assert.throws(() => asMeant(["doctor", "--json", "web"]), /ocinet trace web looks at a container/);
  assert.deepEqual(asMeant(["doctor", "--json"]), ["doctor", "--json"]);
});
