import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stat, World } from "../plan/world.ts";
import { containerPaths, stateDirectory } from "./state.ts";

/** A process, with the owners of its network settings, runtime directory and /run. */
function machine(uid: number, owners: { readonly network: number; readonly run: number }): World {
  const stat = (path: string): Stat => {
    const owner = path === "/run" ? owners.run : path.startsWith("/proc/sys/") ? owners.network : uid;
    return { kind: "directory", identity: "4:4026532001", uid: owner, modified: 0, mode: 0o700 };
  };
  const read = () => "         0       1000          1\n";
  return {
    uid,
    stat,
    read,
    readLink: () => undefined,
    env: () => undefined,
    makeDirectory: () => {},
  } as unknown as World;
}

test("state is where its user may write, apart for a network of one's own in a user namespace", () => {
  const nobody = 65534;
  const rows = [
    [machine(0, { network: 0, run: 0 }), "/run/ocinet"],
    [machine(1000, { network: 0, run: 0 }), "/run/user/1000/ocinet"],
    [machine(0, { network: nobody, run: nobody }), "/run/user/1000/ocinet"],
    [machine(0, { network: 0, run: nobody }), "/run/user/1000/ocinet/netns-4026532001"],
  ] as const;
  for (const [world, directory] of rows) assert.equal(stateDirectory(world), directory);
});

test("inside a session state is its own, whatever a bundle was told outside", () => {
  const told = (world: World): World => ({
    ...world,
    env: (name) => name === "OCINET_STATE_DIR" ? "/told" : "",
  });
  assert.equal(stateDirectory(told(machine(0, { network: 0, run: 0 }))), "/run/ocinet");
  assert.equal(stateDirectory(told(machine(1000, { network: 0, run: 0 }))), "/told");
});

test("state is not kept where others could put another directory in its place", () => {
  const base = machine(0, { network: 0, run: 0 });
  const directory = { kind: "directory", identity: "4:1", modified: 0 } as const;
  const under = (uid: number, mode: number, link = uid): World => ({
    ...base,
    read: () => "0 0 4294967295",
    readLink: () => "user:[4026531837]",
    env: (name) => name === "OCINET_STATE_DIR" ? "/a/b/state" : "",
    stat: (path, itself) => {
      if (path === "/a") return { ...directory, mode, uid: itself ? link : uid };
      return path.startsWith("/proc/") ? base.stat(path) : { ...directory, mode: 0o700, uid: 0 };
    },
  });
  for (const world of [under(0, 0o755), under(0, 0o1777), under(0, 0o775)]) {
    assert.equal(stateDirectory(world), "/a/b/state");
  }
  const refused =
    /^Error: Cannot keep state in \/a\/b\/state: others could put another directory in its place, for \/a (belongs|may)/;
  for (const world of [under(1000, 0o755), under(0, 0o777), under(1000, 0o1777), under(0, 0o755, 1000)]) {
    assert.throws(() => stateDirectory(world), refused);
  }
});

test("a container's state is below the state directory", () => {
  assert.deepEqual(containerPaths("/s", "c1"), {
    directory: "/s/containers/c1",
    lock: "/s/locks/c1",
  });
});

test("an id that could lead elsewhere is refused", () => {
  for (const id of ["", ".", "..", "../../etc", "a/b", "/etc", "a\0b", "a\n", "-a", "a b", "x".repeat(201)]) {
    assert.throws(() => containerPaths("/s", id), /^Error: Cannot use container id "/, JSON.stringify(id));
  }
});
