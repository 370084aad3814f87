import assert from "node:assert/strict";
import { test } from "node:test";
import {
  collide,
  expanded,
  joined,
  parseHostIp,
  parsePublish,
  type PortMapping,
  showMapping,
} from "./port_mapping.ts";

test("ports are read with address, range and protocol", () => {
  const rows: readonly (readonly [string, readonly PortMapping[]])[] = [
    ["8080:80", [{ protocol: "tcp", hostPort: 8080, port: 80 }]],
    ["1:65535/udp", [{ protocol: "udp", hostPort: 1, port: 65535 }]],
    ["127.0.0.1:8080:80", [{ protocol: "tcp", hostIp: "127.0.0.1", family: 4, hostPort: 8080, port: 80 }]],
    ["[FD00::1]:53:53/sctp", [{ protocol: "sctp", hostIp: "fd00::1", family: 6, hostPort: 53, port: 53 }]],
    ["0.0.0.0:8080:80", [{ protocol: "tcp", family: 4, hostPort: 8080, port: 80 }]],
    ["[::]:8080:80", [{ protocol: "tcp", family: 6, hostPort: 8080, port: 80 }]],
    ["[::ffff:1.2.3.4]:8080:80", [{
      protocol: "tcp",
      hostIp: "1.2.3.4",
      family: 4,
      hostPort: 8080,
      port: 80,
    }]],
    ["8080-8081:80-81", [
      { protocol: "tcp", hostPort: 8080, port: 80 },
      { protocol: "tcp", hostPort: 8081, port: 81 },
    ]],
  ];
  for (const [text, wanted] of rows) assert.deepEqual(parsePublish(text), wanted, text);
});

test("a port that cannot be published is refused with the reason", () => {
  const range = "a port is a number from 1 to 65535";
  const rows: readonly (readonly [string, string])[] = [
    ["8080:80/icmp", 'protocol "icmp" is neither tcp, udp nor sctp'],
    ["0:80", range],
    ["8080:0", range],
    ["65536:80", range],
    ["80:99999999999999999999", range],
    ["65530-65536:1-7", range],
    ["2-1:2-1", "the range 2-1 ends before it begins"],
    ["1-2:1-3", "the host's range has 2 ports and the container's 3"],
    ["1.2.3:80:80", '"1.2.3" is not an address'],
    ["010.0.0.1:80:80", '"010.0.0.1" is not an address'],
    ["[]:80:80", '"" is not an address'],
    ["[fe80::1%eth0]:80:80", '"fe80::1%eth0" is not an address'],
    ["[::1\n]:80:80", '"::1\n" is not an address'],
  ];
  for (const [text, reason] of rows) {
    assert.throws(() => parsePublish(text), { message: `Cannot publish "${text}": ${reason}` });
  }
  const malformed = [
    "",
    "80",
    ":80",
    "80:",
    "::80:80",
    "a:80:80",
    "80:80/",
    "80:80/TCP",
    "80:80\n",
    " 80:80",
    "-1:80",
  ];
  for (const text of [...malformed, "80:80;x", "80-:80", "80:80/tcp/udp", "+80:80", "0x50:80", "８0:80"]) {
    assert.throws(() => parsePublish(text), {
      message: `Cannot publish "${text}": it is not [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]`,
    });
  }
});

test("a mapping is shown in the words that give it again", () => {
  for (const text of ["8080:80/tcp", "127.0.0.1:1:2/udp", "[fd00::1]:1:2/sctp"]) {
    assert.equal(showMapping(parsePublish(text)[0]!), text);
  }
  assert.equal(showMapping(parsePublish("0.0.0.0:1:2")[0]!), "0.0.0.0:1:2/tcp");
  assert.equal(showMapping(parsePublish("[::]:1:2")[0]!), "[::]:1:2/tcp");
});

test("consecutive ports that lead to the same numbers are one range, unless they are few", () => {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["20000-20015:20000-20015", ["20000-20015:20000-20015/tcp"]],
    ["[::]:1-65535:1-65535/udp", ["[::]:1-65535:1-65535/udp"]],
    ["1-16:1-16,18-33:18-33,34-40:34-40", ["1-16:1-16/tcp", "18-40:18-40/tcp"]],
    ["1-20:1-20,21-40:21-40/udp", ["1-20:1-20/tcp", "21-40:21-40/udp"]],
  ];
  for (const [text, wanted] of rows) {
    const ports = text.split(",").flatMap(parsePublish);
    assert.deepEqual(joined(ports).map(showMapping), wanted);
    assert.deepEqual(expanded(joined(ports)), ports);
  }
  for (const text of ["1-15:1-15", "1-16:2-17", "10.0.0.1:1-16:1-16"]) {
    assert.deepEqual(joined(parsePublish(text)), parsePublish(text));
  }
  assert.throws(
    () => joined(parsePublish("1-65534:2-65535")),
    /^Error: Cannot publish 65534 ports: there may be 28000; /,
  );
  const relayed = parsePublish("1-16:1-16").map((port) => ({ ...port, relay: {} }));
  assert.deepEqual(joined(relayed), relayed);
});

test("mappings collide where one connection could be meant for both", () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ["80:1", "80:2", true],
    ["80:1", "81:1", false],
    ["80:1", "80:1/udp", false],
    ["127.0.0.1:80:1", "80:1", true],
    ["127.0.0.1:80:1", "127.0.0.2:80:1", false],
    ["127.0.0.1:80:1", "0.0.0.0:80:1", true],
    ["127.0.0.1:80:1", "[::]:80:1", false],
    ["0.0.0.0:80:1", "[::]:80:1", false],
    ["80:1", "[::1]:80:1", true],
  ];
  for (const [a, b, wanted] of rows) {
    assert.equal(collide(parsePublish(a)[0]!, parsePublish(b)[0]!), wanted, `${a} and ${b}`);
    assert.equal(collide(parsePublish(b)[0]!, parsePublish(a)[0]!), wanted, `${b} and ${a}`);
  }
});

test("a host address is one of a family, or all of it", () => {
  assert.deepEqual(parseHostIp("10.0.0.1"), { hostIp: "10.0.0.1", family: 4 });
  assert.deepEqual(parseHostIp("0.0.0.0"), { family: 4 });
  assert.deepEqual(parseHostIp("0::0"), { family: 6 });
  assert.equal(parseHostIp("host"), undefined);
});
