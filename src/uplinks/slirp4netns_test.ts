import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../net/port_mapping.ts";
import { show } from "../plan/step.ts";
import { connect, refusal, type Target } from "./slirp4netns.ts";

const target: Target = {
  netns: "/proc/7/ns/net",
  pid: 7,
  init: 7,
  ownPidNamespace: true,
  enter: ["--user=/proc/7/ns/user", "--preserve-credentials"],
  ifname: "eth0",
  directory: "/run/user/1000/ocinet/containers/c1",
  socket: "/run/c1.sock",
  ipv6: true,
  restricted: false,
};

test("connect() is ready for IPv6 at once, and publishes ports", () => {
  const { steps, result } = connect(target, parsePublish("127.0.0.1:8080:80"));
  assert.equal(
    show(steps),
    [
      "slirp4netns --exit-fd=3 --ready-fd=4 --api-socket=/run/c1.sock --configure --mtu=65520 --enable-ipv6 " +
      "--disable-host-loopback --enable-sandbox --enable-seccomp 7 eth0",
      "container: sysctl -w net/ipv6/conf/eth0/accept_ra=0",
      "container: ip address replace fd00::100/64 dev eth0 nodad",
      "container: ip route add ::/0 via fd00::2 dev eth0",
      'send /run/c1.sock {"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1",' +
      '"host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}}',
    ].join("\n"),
  );
  assert.deepEqual(result.ips.map(({ address }) => address), ["10.0.2.100/24", "fd00::100/64"]);
  assert.deepEqual(result.dns, { nameservers: ["10.0.2.3"] });
});

test("connect() leaves no way out of default-restricted, not even for names", () => {
  const { steps, result } = connect({ ...target, restricted: true }, []);
  assert.equal(
    show(steps),
    [
      "slirp4netns --exit-fd=3 --ready-fd=4 --api-socket=/run/c1.sock --configure --mtu=65520 --disable-host-loopback " +
      "--enable-sandbox --enable-seccomp --disable-dns --outbound-addr=240.0.0.1 7 eth0",
      "container: nft table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
      "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
    ].join("\n"),
  );
  assert.deepEqual(result.dns, {});
});

test("connect() does without IPv6 where the kernel has none", () => {
  assert.doesNotMatch(show(connect({ ...target, ipv6: false }, []).steps), /ipv6|fd00/);
});

test("refusal() names the reason and the way round it", () => {
  const reason = (text: string) => refusal(parsePublish(text)[0]!, 1024);
  assert.equal(reason("8080:80"), undefined);
  assert.equal(reason("127.0.0.1:8080:80"), undefined);
  assert.match(reason("80:80")!, /ports below 1024 are root's; .*ip_unprivileged_port_start=80$/);
  assert.match(reason("[::1]:8080:80")!, /IPv4 addresses only; use 0\.0\.0\.0 or 127\.0\.0\.1$/);
  assert.match(reason("8080:80/sctp")!, /tcp and udp only$/);
  assert.match(reason("127.0.0.1:8080:80/udp")!, /no answer to the host's loopback.*use another address/);
  assert.equal(refusal(parsePublish("80:80")[0]!, 80), undefined);
});
