import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../plan/world.ts";
import { reachableNames, reachableServers, resolversOf } from "./name_servers.ts";

const having = (files: Readonly<Record<string, string>>): World =>
  ({ read: (path: string) => files[path] }) as World;

test("servers that are reached from elsewhere are those of resolv.conf, or else those of systemd-resolved", () => {
  const servers = (resolv: string, resolved = "nameserver 192.0.2.9") =>
    reachableServers(having({
      "/etc/resolv.conf": resolv,
      "/run/systemd/resolve/resolv.conf": resolved,
    }));
  assert.deepEqual(servers("nameserver 192.0.2.1\nnameserver 2001:db8::1"), ["192.0.2.1", "2001:db8::1"]);
  assert.deepEqual(servers("nameserver 127.0.0.1\nnameserver 192.0.2.1"), ["192.0.2.1"]);
  assert.deepEqual(servers("nameserver 127.0.0.53"), ["192.0.2.9"]);
  assert.deepEqual(servers("nameserver ::1\nnameserver fe80::1%eth0"), ["192.0.2.9"]);
  assert.deepEqual(servers("nameserver 127.0.0.1", "nameserver 127.0.0.54"), []);
});

test("with them goes what else the host says, which without any is nothing", () => {
  const resolv = { "/etc/resolv.conf": "search a.example\nnameserver 127.0.0.53\noptions edns0\n" };
  assert.deepEqual(reachableNames(having(resolv)), {});
  const resolved = { "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.9\nsearch b.example\n" };
  assert.deepEqual(reachableNames(having({ ...resolv, ...resolved })), {
    nameservers: ["192.0.2.9"],
    search: ["a.example"],
    options: ["edns0"],
  });
});

test("families of the host's servers, and where the links of the file lead out of /etc and /run", () => {
  const resolvers = (text: string, links: Readonly<Record<string, string>> = {}) => {
    const readLink = (path: string) => {
      if (links[path] === undefined) throw new Error("it is no link");
      return links[path];
    };
    return resolversOf({ ...having({ "/etc/resolv.conf": text }), readLink });
  };
  const families = { 4: true, 6: false };
  const [four, etc] = ["nameserver 192.0.2.1", "/etc/resolv.conf"];
  assert.deepEqual(resolvers(four), { families });
  assert.deepEqual(resolvers("nameserver ::1"), { families: { 4: false, 6: true } });
  assert.deepEqual(resolvers(""), { families: { 4: false, 6: false } });
  assert.deepEqual(resolvers(four, { [etc]: "../run/systemd/resolve/stub-resolv.conf" }), { families });
  const stray = "/var/run/a/resolv.conf";
  assert.deepEqual(resolvers(four, { [etc]: stray }), { families, stray });
  assert.deepEqual(resolvers(four, { [etc]: "a", "/etc/a": "/run/b", "/run/b": "../srv/c" }), {
    families,
    stray: "/srv/c",
  });
  assert.equal(resolvers(four, { [etc]: "a", "/etc/a": "resolv.conf" }).stray, "/etc/resolv.conf");
});
