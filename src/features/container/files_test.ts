import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../../plan/world.ts";
import type { Result } from "../../wire/cni/result.ts";
import { namesUnasked } from "./files.ts";

const result = { interfaces: [], ips: [], routes: [{ dst: "0.0.0.0/0" }], dns: {} } as unknown as Result;

test("a command that sees resolvers of the host's loopback only is told of others, or that there are none", () => {
  const warnings: string[] = [];
  const named = (files: Readonly<Record<string, string>>, path = "") => {
    const world = {
      ...{ read: (path: string) => files[path], uid: 0, env: () => undefined },
      warn: (line: string) => void warnings.push(line),
    };
    return namesUnasked(world as unknown as World, { pid: 7, enter: [], path }, [result])?.nameservers;
  };
  const resolved = { "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.9\n" };
  assert.equal(named({ "/etc/resolv.conf": "nameserver 192.0.2.1\n" }), undefined);
  assert.deepEqual(named({ "/etc/resolv.conf": "nameserver 127.0.0.53\n", ...resolved }), ["192.0.2.9"]);
  assert.deepEqual(warnings, []);
  assert.equal(named({ "/etc/resolv.conf": "nameserver 127.0.0.1\nnameserver ::1\n" }), undefined);
  assert.deepEqual(warnings, [
    "No names are found: the host's name servers (127.0.0.1, ::1) are on its own loopback, to which there is no way; " +
    "give others by --dns, such as --dns 9.9.9.9",
  ]);
  assert.deepEqual(named({ "/etc/resolv.conf": "search lan\n", ...resolved }), ["192.0.2.9"]);
  assert.equal(warnings.length, 1);
  assert.equal(named({}), undefined);
  assert.match(
    warnings[1]!,
    / found: \/etc\/resolv.conf is not there, or names no server; give others by --dns/,
  );
});
