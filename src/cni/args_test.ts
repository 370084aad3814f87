import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArgs, refuseUnknownArgs } from "./args.ts";

test("pairs are read, the last of a key counts", () => {
  assert.deepEqual(parseArgs(""), new Map());
  assert.deepEqual(parseArgs("IP=10.0.0.1;K=;K=V;"), new Map([["IP", "10.0.0.1"], ["K", "V"]]));
});

test("a pair that is none is refused", () => {
  for (const pair of ["FOO", "=V", "A=B=C", "=", "IP 10.0.0.1", "\n"]) {
    assert.throws(() => parseArgs(`IP=10.0.0.1;${pair}`), {
      name: "CniError",
      code: 999,
      message: `ARGS: invalid pair ${JSON.stringify(pair)}`,
    });
  }
});

test("keys that nobody reads are refused, unless the caller says to ignore them", () => {
  refuseUnknownArgs(parseArgs("IgnoreUnknown=0;IP=10.0.0.1;MAC=02:00:00:00:00:01;GATEWAY=10.0.0.1"));
  for (const yes of ["1", "true", "TRUE"]) {
    refuseUnknownArgs(parseArgs(`IgnoreUnknown=${yes};K8S_POD_NAME=a`));
  }
  for (const no of ["FOO=1;ip=10.0.0.1", "IgnoreUnknown=0;FOO=1;ip=10.0.0.1"]) {
    assert.throws(() => refuseUnknownArgs(parseArgs(no)), {
      code: 999,
      message: 'ARGS: unknown args ["FOO=1" "ip=10.0.0.1"]',
    });
  }
  assert.throws(() => refuseUnknownArgs(parseArgs("ignoreunknown=1")), {
    message: 'ARGS: unknown args ["ignoreunknown=1"]',
  });
});
