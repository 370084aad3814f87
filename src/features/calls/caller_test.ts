import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPowers, limitsOf, type Status } from "./caller.ts";

const root: Status = {
  Uid: "0\t0\t0\t0",
  Gid: "0\t0\t0\t0",
  Groups: "0 27",
  ...{ CapEff: "00000000000000ff", CapPrm: "00000000000000ff", CapBnd: "00000000000000ff" },
  ...{ Seccomp: "0", NoNewPrivs: "0", Umask: "0027" },
};

test("a caller that may do all that we may is served with its own umask", () => {
  assert.equal(checkPowers(root, root, 0), 0o27);
  assert.equal(checkPowers({ ...root, CapEff: "00000000000001ff", Groups: "" }, root, 0), 0o27);
  assert.equal(checkPowers(root, { ...root, NoNewPrivs: "1", Seccomp: "2" }, 0), 0o27);
});

test("another user, and one who may do less, is not served", () => {
  const refused: readonly (readonly [Status, RegExp])[] = [
    [{ ...root, Uid: "0\t1000\t0\t0" }, /another user's/],
    [{ ...root, Uid: "1000\t1000\t1000\t1000" }, /another user's/],
    [{ ...root, Uid: "" }, /another user's/],
    [{ ...root, Gid: "0\t5\t0\t0" }, /another Gid/],
    [{ ...root, CapEff: "000000000000007f" }, /capabilities \(CapEff\)/],
    [{ ...root, CapBnd: "0000000000000000" }, /capabilities \(CapBnd\)/],
    [{ ...root, Seccomp: "2" }, /filter of system calls/],
    [{ ...root, NoNewPrivs: "1" }, /new privileges/],
    [{ ...root, Umask: "" }, /umask/],
    [{}, /another user's/],
  ];
  for (const [theirs, reason] of refused) assert.throws(() => checkPowers(theirs, root, 0), reason);
  const alice = { ...root, Uid: "7\t7\t7\t7" };
  assert.equal(checkPowers(alice, alice, 7), 0o27);
  assert.throws(() => checkPowers({ ...alice, Groups: "" }, alice, 7), /another Groups/);
});

test("soft limits are read, whatever their unit is", () => {
  const text = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            1024                 524288               files     
Max nice priority         0                    0                    
`;
  assert.deepEqual([...limitsOf(text)], [
    ["Max cpu time", Infinity],
    ["Max open files", 1024],
    ["Max nice priority", 0],
  ]);
});
