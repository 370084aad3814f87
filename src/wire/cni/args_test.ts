import assert from "node:assert/strict";
import { test } from "node:test";
import { checkArgs, checkPairs, parseArgs } from "./args.ts";

test("pairs are read, each cut at its first =, and the last of a key counts; what is none is passed over", () => {
  assert.deepEqual(parseArgs(""), new Map());
  assert.deepEqual(parseArgs("IP=10.0.0.1;K=;K=V;"), new Map([["IP", "10.0.0.1"], ["K", "V"]]));
  assert.deepEqual(parseArgs("FOO;A=B=C;=V;=;\n"), new Map([["A", "B=C"]]));
});

test("a pair that is none is refused", () => {
  checkPairs("IP=10.0.0.1;A=B=C;K=;");
  for (const pair of ["FOO", "=V", "=", "IP 10.0.0.1", "\n"]) {
    for (const check of [checkPairs, checkArgs]) {
      assert.throws(() => check(`IP=10.0.0.1;${pair};IgnoreUnknown=1`), {
        name: "CniError",
        code: 999,
        message: `ARGS: invalid pair ${JSON.stringify(pair)}`,
      });
    }
  }
});

test("a plugin that reads them refuses a = in a value, and keys that no plugin reads, unless the caller says to ignore them", () => {
  checkArgs("IgnoreUnknown=0;IP=10.0.0.1;MAC=02:00:00:00:00:01;GATEWAY=10.0.0.1");
  for (const yes of ["1", "true", "TRUE"]) checkArgs(`IgnoreUnknown=${yes};K8S_POD_NAME=a`);
  assert.throws(() => checkArgs("IgnoreUnknown=1;A=B=C"), { message: 'ARGS: invalid pair "A=B=C"' });
  for (const no of ["FOO=1;ip=10.0.0.1", "IgnoreUnknown=0;FOO=1;ip=10.0.0.1"]) {
    assert.throws(() => checkArgs(no), {
      code: 999,
      message: 'ARGS: unknown args ["FOO=1" "ip=10.0.0.1"]',
    });
  }
  assert.throws(() => checkArgs("ignoreunknown=1"), { message: 'ARGS: unknown args ["ignoreunknown=1"]' });
});
