import assert from "node:assert/strict";
import { test } from "node:test";
import { keepUnforwarded } from "../plan/nft/endpoint.ts";
import { ownAlias, setLink } from "../plan/ip.ts";
import { setSysctl } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { keptChanges, keptGuards, recordKeptChanges } from "./kept_changes.ts";

/** A host with writable files, on which forwarding is off. */
function hostWith(files: Map<string, string>): World {
  return {
    read: (path: string) => files.get(path),
    readLink: () => "net:[1]",
    stat: (path: string) => files.has(path) ? {} : undefined,
    list: (path: string) =>
      [...files.keys()].filter((name) => name.startsWith(`${path}/`)).map((name) =>
        name.slice(path.length + 1)
      ),
    create: (path: string, text: string) => !files.has(path) && files.set(path, text) && true,
    makeDirectory: () => {},
    remove: (path: string) => files.delete(path),
    removeEmpty: () => {},
    put: (path: string, text: string) => files.set(path, text),
    run: () => Promise.resolve({ code: 0, stdout: "", stderr: "" }),
  } as unknown as World;
}

test("that forwarding was turned on is written down with what keeps it to containers", () => {
  const files = new Map([["/proc/sys/net/ipv4/ip_forward", "0\n"], [
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "0\n",
  ]]);
  const world = hostWith(files);
  const guards = ([4, 6] as const).map((version) => keepUnforwarded(version, ["eth0"]));
  const on = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"]
    .map((key) => setSysctl("host", key, "1", { undoBy: "gc" }));
  recordKeptChanges(world, "/s", [...guards, ...on]);
  assert.deepEqual(keptGuards(world, "/s"), guards);
  assert.deepEqual(keptChanges(world, "/s").map(({ what, step }) => `${what} from ${step?.undo}`), [
    "sysctl -w net/ipv4/ip_forward=1 from 0",
    "sysctl -w net/ipv6/conf/all/forwarding=1 from 0",
  ]);
});

test("what the host forwarded by itself stays its own", () => {
  const world = hostWith(new Map([["/proc/sys/net/ipv4/ip_forward", "1\n"]]));
  recordKeptChanges(world, "/s", [setSysctl("host", "net/ipv4/ip_forward", "1", { undoBy: "gc" })]);
  assert.deepEqual(keptChanges(world, "/s"), []);
});

test("a bridge that another attachment is making is not the host's, though it has no mark yet", () => {
  const key = "net/ipv4/conf/br0/route_localnet";
  const world = hostWith(
    new Map([["/proc/sys/net/ipv4/conf/br0", ""], [`/proc/sys/${key}`, "0\n"]]),
  );
  const allow = setSysctl("host", key, "1", { undoBy: "gc" });
  recordKeptChanges(world, "/s", [setLink("host", "br0", "alias", ownAlias, "up"), allow]);
  assert.deepEqual(keptChanges(world, "/s"), []);
  recordKeptChanges(world, "/s", [allow]);
  assert.deepEqual(keptChanges(world, "/s").map(({ what }) => what), [`sysctl -w ${key}=1`]);
});
