import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pinned, World } from "../../plan/world.ts";
import { findTarget, mountFiles, mountProblem, type Rootfs } from "./file_mounts.ts";
import { parseMounts } from "../../engine/mounts.ts";

const mountinfo = String.raw`62 42 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
63 62 0:30 / /run rw shared:2 master:3 - tmpfs tmpfs rw
70 62 254:0 /b/rootfs /a\040b/rootfs rw - ext4 /dev/vda rw
71 70 254:0 /volume /a\040b/rootfs/etc rw shared:7 - ext4 /dev/vda rw
72 71 254:0 /hosts /a\040b/rootfs/etc/hosts rw,nosuid master:3 - ext4 /dev/vda rw
`;

test("mounts are read with their ids, places and whether they are shared", () => {
  const mounts = parseMounts(mountinfo);
  assert.deepEqual([...mounts.keys()], ["62", "63", "70", "71", "72"]);
  assert.deepEqual(mounts.get("63"), { point: "/run", isShared: true });
  assert.deepEqual(mounts.get("70"), { point: "/a b/rootfs", isShared: false });
  assert.deepEqual(mounts.get("72"), { point: "/a b/rootfs/etc/hosts", isShared: false });
});

/** A path that can be pinned: its kind, its mount, and its real path. */
type Thing = readonly [kind: "file" | "directory" | "link" | "other", mount: string, place: string];

/** A container's mount namespace at /proc/7/root, with these paths. */
function having(things: Readonly<Record<string, Thing>>, uid = 0, mode = 0o644): World {
  const pinned: Thing[] = [];
  const fd = (path: string) => pinned[Number(/\/fd\/([0-9]+)/.exec(path)?.[1])];
  const resolve = (path: string) => {
    const held = fd(path);
    return held ? path.replace(/^.*\/fd\/[0-9]+/, held[2]) : path.replace("/proc/7/root", "");
  };
  const pin = (path: string): Pinned | undefined => {
    const thing = things[resolve(path)];
    if (!thing) return undefined;
    const kind = thing[0] === "link" ? "other" : thing[0];
    const stat = { kind, identity: "1:1", uid: 0, gid: 0, modified: 0, mode, links: 1 } as const;
    const at = pinned.push(thing) - 1;
    return { path: `/proc/9/fd/${at}`, stat: { ...stat, isLink: thing[0] === "link" }, release: () => {} };
  };
  const read = (path: string) =>
    path === "/proc/7/mountinfo"
      ? mountinfo
      : `pos:\t0\nmnt_id:\t${pinned[Number(path.split("/").at(-1))]![1]}\n`;
  const readLink = (path: string) => path.endsWith("/ns/mnt") ? path : fd(path)?.[2];
  return { uid, pin, read, readLink } as unknown as World;
}

const rootfs: Rootfs = { pid: 7, enter: [], path: "/a b/rootfs" };
const tree: Readonly<Record<string, Thing>> = {
  "/a b/rootfs": ["directory", "70", "/a b/rootfs"],
  "/a b/rootfs/etc": ["directory", "71", "/a b/rootfs/etc"],
  "/a b/rootfs/etc/resolv.conf": ["file", "71", "/a b/rootfs/etc/resolv.conf"],
  "/a b/rootfs/etc/hosts": ["file", "72", "/a b/rootfs/etc/hosts"],
  "/run/resolv.conf": ["file", "63", "/run/resolv.conf"],
  "/etc/hosts": ["file", "62", "/etc/hosts"],
};

test("why a file is not mounted over, as the container's mount namespace has it", () => {
  const rows: readonly (readonly [Readonly<Record<string, Thing>>, string])[] = [
    [
      { "/a b/rootfs/etc/resolv.conf": ["link", "71", "/a b/rootfs/etc/resolv.conf"] },
      "/a b/rootfs/etc/resolv.conf is a symbolic link; replace it by a file",
    ],
    [
      { "/a b/rootfs/etc": ["link", "70", "/a b/rootfs/etc"] },
      "/a b/rootfs/etc is a symbolic link; replace it by a directory",
    ],
    [
      { "/a b/rootfs/etc/resolv.conf": ["other", "71", "/a b/rootfs/etc/resolv.conf"] },
      "there is no such file to mount it over; make an empty one",
    ],
    // Now a link leads elsewhere: to the host's root, to a path that is no mount, or out of that namespace.
    [
      { "/a b/rootfs": ["directory", "62", "/"], "/": ["directory", "62", "/"] },
      "/a b/rootfs is no mount",
    ],
    [
      { "/a b/rootfs": ["directory", "70", "/other"], "/other": ["directory", "70", "/other"] },
      "/a b/rootfs is no mount",
    ],
    [{ "/a b/rootfs": ["directory", "1", "/a b/rootfs"] }, "/a b/rootfs is no mount"],
  ];
  for (const [changed, problem] of rows) {
    const found = findTarget(having({ ...tree, ...changed }), rootfs, "resolv.conf");
    assert.ok(typeof found === "string" && found.startsWith(problem), JSON.stringify(found));
  }
  const unreadable = findTarget(having(tree, 1000, 0o600), rootfs, "resolv.conf");
  assert.equal(unreadable, "/a b/rootfs/etc/resolv.conf cannot be read; chmod a+r it");
  const { "/a b/rootfs/etc/resolv.conf": _, ...rest } = tree;
  assert.match(String(findTarget(having(rest), rootfs, "resolv.conf")), /^there is no such file/);
  assert.equal(
    mountProblem(having({ "/r/.": ["directory", "62", "/r"] }), "/r", "hosts"),
    "there is no such file to mount it over; make an empty one",
  );
});

test("a container with the host's mounts is refused", () => {
  const world = having(tree);
  const shared = { ...world, readLink: () => "mnt:[4026531841]" };
  assert.match(String(findTarget(shared, rootfs, "resolv.conf")), /^the container has the host's mounts;/);
});

test("files are mounted over what was looked at, from and on mounts that are not shared", () => {
  const world = having(tree);
  const [resolv, hosts] = ["resolv.conf", "hosts"].map((name) => {
    const target = findTarget(world, rootfs, name);
    if (typeof target === "string") throw new Error(target);
    return target;
  });
  assert.equal(world.readLink(resolv!.shared!.path), "/a b/rootfs/etc");
  assert.equal(hosts!.shared, undefined);
  const { run } = mountFiles(world, { ...rootfs, enter: ["--user=/u"] }, [
    { source: "/run/resolv.conf", readOnly: false, target: resolv! },
    { source: "/etc/hosts", readOnly: true, target: hosts! },
  ]);
  const words = run!.filter((word) => !word.includes("\n"));
  const held = [resolv!.shared!, resolv!.file as Pinned, hosts!.file as Pinned].map(({ path }) => path);
  assert.deepEqual(words, [
    ...["sh", "-c", 'exec 3<"$1" 4<"$2" 5<"$3"; shift 3; exec "$@"', "sh", ...held],
    ...["nsenter", "--user=/u", "--mount=/proc/7/ns/mnt", "sh", "-c", "sh"],
    ...["alone", "/run", "alone", "/", "alone", "/proc/self/fd/3"],
    ...["rw", "/run/resolv.conf", "/proc/self/fd/4", "ro", "/etc/hosts", "/proc/self/fd/5"],
  ]);
});

test("in the host's own tree a command's files are mounted by their paths", () => {
  const file = { kind: "file" } as const;
  const world: World = { ...having({}), stat: () => file } as unknown as World;
  const own = { ...rootfs, path: "" };
  const target = findTarget(world, own, "resolv.conf");
  if (typeof target === "string") throw new Error(target);
  const { run } = mountFiles(world, own, [{ source: "/s/resolv.conf", readOnly: false, target }]);
  assert.deepEqual(run!.slice(-3), ["rw", "/s/resolv.conf", "/etc/resolv.conf"]);
  assert.equal(run![0], "nsenter");
});
