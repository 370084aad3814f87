import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import { parseWords } from "../../wire/oci/options.ts";
import { helper } from "../../drivers/uplinks/helper.ts";
import { pasta } from "../../drivers/uplinks/pasta.ts";
import { slirp4netns } from "../../drivers/uplinks/slirp4netns.ts";
import type { Uplink } from "../../drivers/uplinks/uplink.ts";
import { type Forwarded, forwarder, forwarders, type Forwarding, parseForwarding } from "./forwarding.ts";

const host = { ipv6: true, routes: { 4: true, 6: true }, lowestPort: 1024 };

function by(uplink: Uplink, text: string, forwarding: Forwarding = {}, more: Partial<Forwarded> = {}) {
  const forwarded = { host, restricted: false, limits: {}, runs: false, ...more };
  const found = forwarder(uplink, parsePublish(text)[0]!, forwarding, forwarded);
  return typeof found === "string" ? found : found.relay ?? "uplink";
}

test("the uplink forwards what it can, and the relay the rest", () => {
  assert.equal(by(slirp4netns, "8080:80"), "uplink");
  assert.deepEqual(by(slirp4netns, "[::1]:8080:80"), {});
  assert.deepEqual(by(slirp4netns, "127.0.0.1:5353:53/udp"), {});
  assert.equal(by(pasta, "[::1]:8080:80"), "uplink");
  assert.match(String(by(slirp4netns, "8080:80/sctp")), /slirp4netns forwards tcp and udp only$/);
});

test("of two host ports that lead to one UDP port, slirp4netns takes the first, and the relay the other", () => {
  const ports = ["192.0.2.1:5353:53/udp", "192.0.2.9:5353:53/udp", "5353:53", "5354:54/udp"].flatMap(
    parsePublish,
  );
  const found = (uplink: Uplink, runs: boolean, others: Forwarded["others"] = []) =>
    forwarders(uplink, ports, {}, { host, restricted: false, limits: {}, runs, others })
      .map((port) => typeof port !== "string" && port.relay ? "relay" : "uplink").join(" ");
  assert.equal(found(slirp4netns, false), "uplink relay uplink uplink");
  assert.equal(found(slirp4netns, true, [{ ...ports[0]!, relay: {} }]), "uplink relay uplink uplink");
  assert.equal(found(slirp4netns, true, ports.slice(3)), "uplink relay uplink relay");
  assert.equal(found(pasta, false), "uplink uplink uplink uplink");
});

test("of a container that runs, one without live ports leaves them to the relay", () => {
  assert.equal(by(slirp4netns, "8080:80", {}, { runs: true }), "uplink");
  assert.deepEqual(by(pasta, "8080:80", {}, { runs: true }), {});
  const insisting = by(pasta, "8080:80", { driver: "uplink" }, { runs: true });
  assert.match(String(insisting), /pasta takes its ports when it starts$/);
});

test("a port that is root's is said to be, whatever else the uplink has against it", () => {
  const low = /Cannot publish "80:80\/tcp" without root: ports below 1024 are root's; take a higher one, /;
  assert.match(String(by(slirp4netns, "80:80")), low);
  assert.match(String(by(pasta, "80:80", {}, { runs: true })), low);
  assert.match(String(by(helper, "80:80", {}, { runs: true })), low);
  assert.match(
    String(by(helper, "80:80")),
    /does not grant the port \(it grants: none\); ports below 1024 are/,
  );
  assert.match(String(by(helper, "80:80", {}, { limits: { rateIn: 1 } })), /\(it grants: none\)$/);
});

test("an option that insists on one gets that one, or the reason", () => {
  assert.deepEqual(by(pasta, "8080:80", { driver: "relay" }), {});
  assert.deepEqual(by(pasta, "8080:80", { proxyProtocol: "v1" }), { proxyProtocol: "v1" });
  assert.match(String(by(slirp4netns, "[::1]:8080:80", { driver: "uplink" })), /IPv4 addresses only/);
});

test("what the relay forwards would get round a rate", () => {
  const limits = { rateIn: 1e6 };
  assert.match(
    String(by(pasta, "8080:80", { driver: "relay" }, { limits })),
    /the link that --rate-in holds$/,
  );
  assert.match(String(by(slirp4netns, "[::1]:8080:80", {}, { limits })), /IPv4 addresses only/);
  assert.equal(by(pasta, "8080:80", {}, { limits }), "uplink");
});

test("options are read, and refused with what there is", () => {
  const parse = (...words: readonly string[]) => parseForwarding(parseWords(words));
  assert.deepEqual(parse(), {});
  assert.deepEqual(parse("--port-driver=relay", "--proxy-protocol=v2"), {
    driver: "relay",
    proxyProtocol: "v2",
  });
  assert.throws(() => parse("--port-driver=socat"), {
    message: 'Cannot use --port-driver "socat": there are uplink, relay',
  });
  assert.throws(() => parse("--proxy-protocol=2"), {
    message: 'Cannot use --proxy-protocol "2": there are v1, v2',
  });
  assert.throws(() => parse("--port-driver=uplink", "--proxy-protocol=v2"), {
    message: /^Cannot use --proxy-protocol with --port-driver=uplink: only the relay writes it; /,
  });
});
