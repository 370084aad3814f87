import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish, type Relaying } from "../../net/port_mapping.ts";
import { show } from "../../plan/step.ts";
import { relayPort, relayRefusal, startRelay } from "./relay.ts";

const host = { ipv6: true, routes: { 4: true, 6: false }, lowestPort: 1024 };
const relayed = {
  entrance: {
    ...{
      pid: 7,
      init: 7,
      lasting: 7,
      ownPidNamespace: true,
      directory: "/c1/relay",
      again: ["ocinet", "repair", "c1"],
    },
    enter: ["--user=/proc/7/ns/user", "--preserve-credentials"],
  },
  socket: "/c1/relay.sock",
  program: { outside: ["deno", "run", "--allow-net", "/o"], inside: ["node", "/a b/o"] },
};

test("the relay is a process of each network, with no power over either", () => {
  const start = startRelay(relayed);
  assert.match(show([start]), /^relay outside \/c1\/relay.sock nsenter .* relay inside$/);
  assert.deepEqual(start.run.slice(-22), [
    ...["/c1/relay.sock", "setpriv", "--no-new-privs", "deno", "run", "--allow-net", "/o"],
    ...["relay", "outside", "/c1/relay.sock"],
    ...["nsenter", "--user=/proc/7/ns/user", "--preserve-credentials", "--net=/proc/7/ns/net"],
    ...["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"],
    ...["node", "/a b/o", "relay", "inside"],
  ]);
  assert.deepEqual(start.cleanupPaths, ["/c1/relay.sock"]);
  assert.equal(start.again, undefined);
});

test("it starts again through the container's first process, when the one that let us in has ended", () => {
  const again = startRelay({ ...relayed, entrance: { ...relayed.entrance, init: 8, lasting: 8 } }).again!;
  assert.match(again.join(" "), / nsenter --user=\/proc\/8\/ns\/user .* --net=\/proc\/8\/ns\/net setpriv /);
});

function asked(text: string, more: { relay?: Relaying; ipv6?: boolean; guests?: readonly string[] } = {}) {
  const { relay = {}, ipv6 = true, guests = ["10.0.2.100"] } = more;
  const port = { ...parsePublish(text)[0]!, relay };
  return JSON.parse(relayPort("/s", guests, { ...host, ipv6 }, port).run!).arguments;
}

test("a port is asked for on all addresses, those of a family, or one", () => {
  const rest = { host_port: 80, guest_addr: "10.0.2.100", guest_port: 8 };
  assert.deepEqual(asked("80:8"), { proto: "tcp", host_addr: "::", ...rest });
  assert.deepEqual(asked("80:8", { ipv6: false }), { proto: "tcp", host_addr: "0.0.0.0", ...rest });
  assert.deepEqual(asked("0.0.0.0:80:8/udp"), { proto: "udp", host_addr: "0.0.0.0", ...rest });
  assert.deepEqual(asked("[::]:80:8"), { proto: "tcp", host_addr: "::", ...rest, ipv6_only: true });
  assert.deepEqual(asked("[::1]:80:8"), { proto: "tcp", host_addr: "::1", ...rest });
});

test("a container's IPv6 address comes second, and the header is named", () => {
  const { guest_addr6, proxy_protocol } = asked("80:8", {
    relay: { proxyProtocol: "v2" },
    guests: ["10.0.2.100", "fd00::100"],
  });
  assert.deepEqual([guest_addr6, proxy_protocol], ["fd00::100", "v2"]);
});

test("what it cannot forward is refused with the reason", () => {
  const reason = (text: string, proxied = false, ipv6 = true) =>
    relayRefusal(parsePublish(text)[0]!, { ...host, ipv6 }, proxied);
  for (const port of ["8080:80", "[::1]:8080:80", "127.0.0.1:5353:53/udp"]) {
    assert.equal(reason(port), undefined);
  }
  assert.match(reason("80:80")!, /ports below 1024 are root's/);
  assert.match(reason("8080:80/sctp")!, /the relay forwards tcp and udp only$/);
  assert.match(reason("[::1]:8080:80", false, false)!, /the kernel has no IPv6$/);
  assert.match(reason("5353:53/udp", true)!, /with --proxy-protocol: .*; publish it without$/);
  assert.equal(reason("8080:80", true), undefined);
  const old = { ...host, relayProblem: "the runtime is too old" };
  assert.match(relayRefusal(parsePublish("8080:80")[0]!, old, false)!, /the runtime is too old$/);
});
