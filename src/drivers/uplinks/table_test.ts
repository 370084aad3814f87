import assert from "node:assert/strict";
import { test } from "node:test";
import { loosened } from "./options.ts";
import { parseUplink, uplinkNamed, uplinks } from "./table.ts";

test("an uplink is found by its name, with what nothing said means", () => {
  for (const { name } of uplinks) {
    const { uplink, options } = parseUplink(name);
    assert.equal(uplink, uplinkNamed(name));
    assert.deepEqual(options, parseUplink(`${name}:`).options);
    assert.deepEqual(options, {
      ...{ mtu: 65520, ipv6: true, dns: true, hostLoopback: false },
      ...{ sandbox: true, seccomp: true },
    });
    assert.deepEqual(loosened(options), []);
  }
});

test("options are read, and those that open something are told", () => {
  const { options } = parseUplink(
    "slirp4netns:cidr=10.8.0.0/16,mtu=1280,mac=02:00:00:00:00:AA,ipv6=false,dns=false,host-loopback=true," +
      "outbound-addr=eth0.7,outbound-addr6=2001:DB8::1,sandbox=false,seccomp=false",
  );
  assert.deepEqual(options, {
    ...{
      cidr: "10.8.0.0/16",
      mtu: 1280,
      mac: "02:00:00:00:00:aa",
      ipv6: false,
      dns: false,
      hostLoopback: true,
    },
    ...{ outbound4: "eth0.7", outbound6: "2001:db8::1", sandbox: false, seccomp: false },
  });
  assert.deepEqual(loosened(options), ["host-loopback", "sandbox", "seccomp"]);
});

test("what an uplink cannot use is refused with the reason", () => {
  const rows = [
    ["", "there are helper, lxc-user-nic, pasta, slirp4netns"],
    ["slirp", "there are helper, lxc-user-nic, pasta, slirp4netns"],
    ["__proto__", "there are helper, lxc-user-nic, pasta, slirp4netns"],
    ["pasta:mtu", '"mtu" is not KEY=VALUE'],
    [
      "pasta:seccomp=false",
      'it has no option "seccomp", but cidr, mtu, mac, ipv6, dns, host-loopback, outbound-addr, outbound-addr6',
    ],
    ["slirp4netns:MTU=1500", /^it has no option "MTU", but cidr, /],
    ["pasta:mtu=1279", 'mtu "1279" is not a number from 1280 to 65521'],
    ["pasta:mtu=1e4", 'mtu "1e4" is not a number from 1280 to 65521'],
    ["pasta:cidr=10.0.2.0", 'cidr "10.0.2.0" is not an IPv4 network such as 10.0.2.0/24'],
    ["pasta:cidr=fd00::/64", 'cidr "fd00::/64" is not an IPv4 network such as 10.0.2.0/24'],
    ["pasta:cidr=10.0.2.0/26", 'cidr "10.0.2.0/26" has a length that is not 1 to 25'],
    ["pasta:cidr=10.0.2.1/24", 'cidr "10.0.2.1/24" has bits beyond its length; the network is 10.0.2.0/24'],
    ["pasta:mac=01:00:00:00:00:01", /^mac "01:00:00:00:00:01" is not the MAC address of one link/],
    ["pasta:dns=yes", 'dns "yes" is neither true nor false'],
    ["pasta:outbound-addr=::1", 'outbound-addr "::1" is neither an IPv4 address nor the name of a link'],
    ["pasta:outbound-addr6=--x", 'outbound-addr6 "--x" is neither an IPv6 address nor the name of a link'],
    ["pasta:outbound-addr=a b", 'outbound-addr "a b" is neither an IPv4 address nor the name of a link'],
  ] as const;
  for (const [text, reason] of rows) {
    assert.throws(() => parseUplink(text), ({ message }: Error) => {
      const start = `Cannot use uplink ${JSON.stringify(text)}: `;
      assert.equal(message.slice(0, start.length), start);
      const rest = message.slice(start.length);
      if (typeof reason === "string") assert.equal(rest, reason);
      else assert.match(rest, reason);
      return true;
    });
  }
});
