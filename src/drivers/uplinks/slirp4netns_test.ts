import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import { show } from "../../plan/step.ts";
import { parseOptions } from "./options.ts";
import { pasta } from "./pasta.ts";
import { slirp4netns } from "./slirp4netns.ts";
import type { Target } from "./uplink.ts";

const host = { ipv6: true, routes: { 4: true, 6: true }, lowestPort: 1024 };
const target: Target = {
  host,
  id: "c1",
  netns: "/proc/7/ns/net",
  pid: 7,
  init: 7,
  lasting: 7,
  ownPidNamespace: true,
  enter: ["--user=/proc/7/ns/user", "--preserve-credentials"],
  ifname: "eth0",
  directory: "/run/user/1000/ocinet/containers/c1",
  socket: "/run/c1.sock",
  restricted: false,
  again: ["ocinet", "repair", "c1"],
};

function connect(options: string, ports = "", more: Partial<Target> = {}) {
  const mappings = ports === "" ? [] : parsePublish(ports);
  return slirp4netns.connect({ ...target, ...more }, parseOptions(options, slirp4netns.keys), mappings);
}

test("slirp4netns is ready for IPv6 at once, and publishes ports", () => {
  const { steps, result } = connect("", "127.0.0.1:8080:80");
  assert.equal(
    show(steps),
    [
      "slirp4netns --exit-fd=3 --ready-fd=4 --api-socket=/run/c1.sock --configure --mtu=65520 --cidr=10.0.2.0/24 " +
      "--enable-ipv6 --disable-host-loopback --enable-sandbox --enable-seccomp 7 eth0",
      "container: sysctl -w net/ipv6/conf/eth0/disable_ipv6=0",
      "container: sysctl -w net/ipv6/conf/eth0/accept_ra=0",
      "container: ip address replace fd00::100/64 dev eth0 nodad",
      "container: ip route add ::/0 via fd00::2 dev eth0",
      'send /run/c1.sock {"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1",' +
      '"host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}}',
    ].join("\n"),
  );
  assert.deepEqual(result.ips.map(({ address }) => address), ["10.0.2.100/24", "fd00::100/64"]);
  assert.deepEqual(result.routes, [{ dst: "0.0.0.0/0", gw: "10.0.2.2" }, { dst: "::/0", gw: "fd00::2" }]);
  assert.deepEqual(result.dns, { nameservers: ["10.0.2.3"] });
});

test("slirp4netns leaves no way out of default-restricted, not even for names or by request", () => {
  const { steps, result } = connect("host-loopback=true,outbound-addr=192.0.2.1", "", { restricted: true });
  assert.equal(
    show(steps),
    [
      "slirp4netns --exit-fd=3 --ready-fd=4 --api-socket=/run/c1.sock --configure --mtu=65520 --cidr=10.0.2.0/24 " +
      "--disable-host-loopback --enable-sandbox --enable-seccomp --disable-dns --outbound-addr=240.0.0.1 7 eth0",
      "container: nft table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
      "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
    ].join("\n"),
  );
  assert.deepEqual(result.dns, {});
});

test("slirp4netns does without IPv6 where the kernel has none, or it is not wanted", () => {
  assert.doesNotMatch(show(connect("", "", { host: { ...host, ipv6: false } }).steps), /ipv6|fd00/);
  assert.doesNotMatch(show(connect("ipv6=false").steps), /ipv6|fd00/);
});

test("slirp4netns's options all take effect", () => {
  const { steps, result } = connect(
    "cidr=10.99.0.0/16,mtu=1500,mac=02:00:00:00:00:01,ipv6=false,dns=false,host-loopback=true," +
      "outbound-addr=192.0.2.1,outbound-addr6=eth0,sandbox=false,seccomp=false",
    "5353:53/udp",
  );
  assert.equal(
    show(steps),
    [
      "slirp4netns --exit-fd=3 --ready-fd=4 --api-socket=/run/c1.sock --configure --mtu=1500 --cidr=10.99.0.0/16 " +
      "--macaddress=02:00:00:00:00:01 --disable-dns --outbound-addr=192.0.2.1 --outbound-addr6=eth0 7 eth0",
      'send /run/c1.sock {"execute":"add_hostfwd","arguments":{"proto":"udp","host_addr":"0.0.0.0",' +
      '"host_port":5353,"guest_addr":"10.99.0.100","guest_port":53}}',
    ].join("\n"),
  );
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", sandbox: "/proc/7/ns/net", mac: "02:00:00:00:00:01" }],
    ips: [{ address: "10.99.0.100/16", gateway: "10.99.0.2", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.99.0.2" }],
    dns: {},
  });
});

test("slirp4netns's refusal names the reason and the way round it", () => {
  const reason = (text: string, lowestPort = 1024) =>
    slirp4netns.refusal(parsePublish(text)[0]!, { ...host, lowestPort }, false);
  assert.equal(reason("8080:80"), undefined);
  assert.equal(reason("127.0.0.1:8080:80"), undefined);
  assert.match(
    reason("80:80")!,
    /ports below 1024 are root's; .*ip_unprivileged_port_start=80, or .* ocinet helper$/,
  );
  assert.match(
    reason("[::1]:8080:80")!,
    /IPv4 addresses only; use 0\.0\.0\.0 or 127\.0\.0\.1, or --port-driver relay$/,
  );
  assert.match(reason("8080:80/sctp")!, /tcp and udp only$/);
  assert.match(reason("127.0.0.1:8080:80/udp")!, /no answer to the host's loopback.*use another address/);
  assert.equal(reason("80:80", 80), undefined);
});

test("a container asks for names by the family of the host's servers, or those themselves that the sandbox hides", () => {
  const serversOf = (options: string, host: Partial<Target["host"]>) =>
    slirp4netns.connect(
      { ...target, host: { ...target.host, ...host } },
      parseOptions(options, slirp4netns.keys),
      [],
    )
      .result.dns.nameservers;
  const [four, six] = [{ 4: true, 6: false }, { 4: false, 6: true }];
  assert.deepEqual(serversOf("", { resolvers: { families: { 4: true, 6: true } } }), ["10.0.2.3"]);
  assert.deepEqual(serversOf("", { resolvers: { families: six } }), ["fd00::3"]);
  assert.deepEqual(serversOf("ipv6=false", { resolvers: { families: six } }), ["10.0.2.3"]);
  const hidden = {
    resolvers: { families: four, stray: "/var/run/a" },
    names: { nameservers: ["192.0.2.9"] },
  };
  assert.deepEqual(serversOf("", hidden), ["192.0.2.9"]);
  assert.deepEqual(serversOf("sandbox=false", hidden), ["10.0.2.3"]);
  assert.deepEqual(serversOf("dns=false", hidden), undefined);
  const none = { families: { 4: false, 6: false } };
  assert.deepEqual(serversOf("", { ...hidden, resolvers: none }), ["192.0.2.9"]);
  for (const { losesNames } of [slirp4netns, pasta]) {
    assert.match(
      losesNames({ ...target.host, resolvers: none })!,
      /resolv.conf is not there, or names no server$/,
    );
  }
});
