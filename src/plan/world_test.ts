import assert from "node:assert/strict";
import { test } from "node:test";
import { createWithDirectory } from "./files.ts";
import { findProgram, needProgram } from "./programs.ts";
import type { Stat, World } from "./world.ts";

/** A World with a PATH and files with modes, and nothing else. */
function having(path: string | undefined, files: Readonly<Record<string, number | "directory">>): World {
  const stat = (file: string): Stat | undefined => {
    const mode = files[file];
    if (mode === undefined) return undefined;
    return {
      kind: mode === "directory" ? mode : "file",
      identity: "1:1",
      uid: 0,
      modified: 0,
      mode: mode === "directory" ? 0o755 : mode,
    };
  };
  return { env: (name: string) => name === "PATH" ? path : undefined, stat } as World;
}

test("a program is found on PATH, then in the system's own directories", () => {
  const files = { "/a/ip": 0o755, "/usr/sbin/ip": 0o755, "/sbin/nft": 0o755 };
  assert.equal(findProgram(having("/x:/a", files), "ip"), "/a/ip");
  assert.equal(findProgram(having("/x", files), "ip"), "/usr/sbin/ip");
  assert.equal(findProgram(having(undefined, files), "nft"), "/sbin/nft");
});

test("what cannot be run, and directories relative to wherever we are, are passed over", () => {
  const files = {
    "/a/ip": 0o644,
    "/b/ip": "directory",
    "./ip": 0o755,
    "/ip": 0o755,
    "/bin/ip": 0o755,
  } as const;
  assert.equal(findProgram(having("/a:/b:.::", files), "ip"), "/bin/ip");
});

test("a program that is missing is named with its package", () => {
  assert.throws(() => needProgram(having("", {}), "nft"), {
    message: 'Cannot run "nft": it is not on PATH; install nftables',
  });
  assert.throws(() => needProgram(having("", {}), "frob"), {
    message: 'Cannot run "frob": it is not on PATH; install it',
  });
  assert.equal(needProgram(having("", {}), "/x/frob"), "/x/frob");
});

test("a file is made with its directory, however often that vanishes while it is made", () => {
  const tries = (failures: number, code = "ENOENT") => {
    const done: string[] = [];
    const fail = () => {
      if (failures-- > 0) throw Object.assign(new Error(`it is ${code}`), { code });
    };
    const world = {
      create: () => {
        done.push("create");
        fail();
        return true;
      },
      // Simulates another process that has made the file again.
      stat: () => ({}),
      makeDirectory: (path: string) => {
        done.push(path);
        fail();
      },
    } as unknown as World;
    createWithDirectory(world, "/a/b", "text");
    return done;
  };
  assert.deepEqual(tries(0), ["create"]);
  assert.deepEqual(tries(1), ["create", "/a", "create"]);
  assert.deepEqual(tries(2), ["create", "/a", "/a", "create"]);
  assert.equal(tries(40).at(-1), "create");
  assert.throws(() => tries(Infinity), /it is ENOENT/);
  assert.throws(() => tries(1, "EACCES"), /it is EACCES/);
});
