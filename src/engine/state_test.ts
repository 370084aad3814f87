import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pinned, Stat, World } from "../plan/world.ts";
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
  type Names = Readonly<Record<string, Partial<Stat> & { readonly gid?: number; readonly to?: string }>>;
  const machineWith = (names: Names): World => ({
    ...base,
    read: () => "0 0 4294967295",
    readLink: (path) => path === "/proc/self/ns/user" ? "user:[4026531837]" : names[path]?.to,
    env: (name) => name === "OCINET_STATE_DIR" ? "/a/b/state" : "",
    stat: (path) =>
      path.startsWith("/proc/") ? base.stat(path) : {
        ...{
          kind: names[path]?.to ? "other" : "directory",
          identity: "4:1",
          modified: 0,
          uid: 0,
          mode: 0o700,
        },
        ...names[path],
      },
    pin: (path) => ({ path, stat: { gid: names[path]?.gid ?? 0 }, release: () => {} }) as unknown as Pinned,
  });
  const sound: readonly Names[] = [
    { "/a": { mode: 0o755 } },
    { "/a": { mode: 0o1777 } },
    { "/a": { mode: 0o775 } },
    { "/a": { to: "/c" }, "/c/b": { to: "../d" } },
  ];
  for (const names of sound) assert.equal(stateDirectory(machineWith(names)), "/a/b/state");
  const open: readonly (readonly [Names, string])[] = [
    [{ "/a": { uid: 1000 } }, "/a belongs to user 1000"],
    [{ "/a": { mode: 0o777 } }, "/a may be written by all"],
    [{ "/a": { mode: 0o775, gid: 50 } }, "/a may be written by group 50"],
    [{ "/a": { uid: 1000, to: "/c" } }, "/a belongs to user 1000"],
    // A link of root's, and what it leads through.
    [{ "/a": { to: "/home/me/c" }, "/home/me": { uid: 1000 } }, "/home/me belongs to user 1000"],
    [{ "/a/b": { to: "../c/d" }, "/a/../c": { mode: 0o757 } }, "/a/../c may be written by all"],
    [{ "/a": { to: "a" } }, "/a is a link that leads to itself"],
  ];
  for (const [names, why] of open) {
    assert.throws(() => stateDirectory(machineWith(names)), {
      message:
        `Cannot keep state in /a/b/state: others could put another directory in its place, for ${why}; ` +
        "set OCINET_STATE_DIR to one elsewhere",
    });
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
