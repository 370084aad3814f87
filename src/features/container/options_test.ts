import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnnotations, parseWords } from "../../wire/oci/options.ts";
import { parseAttachOptions, refuseLoosening } from "./options.ts";

function options(...words: readonly string[]) {
  return parseAttachOptions(parseWords(words));
}

test("nothing asked for is the default network", () => {
  assert.deepEqual(options(), {
    mode: { kind: "contained", all: false, networks: new Map([["default", ""]]) },
    ports: [],
    files: { resolv: "network" },
    limits: {},
    forwarding: {},
    netDirectories: [],
  });
});

test("ports may stand in one value", () => {
  assert.deepEqual(options("-p", "1:2,3:4", "--publish=5:6").ports.map(({ hostPort }) => hostPort), [
    1,
    3,
    5,
  ]);
});

test("ports are refused once they are more than there can be, and not written out before", () => {
  const all = "1-65535:1-65535";
  assert.equal(options("-p", `${all},${all}/udp,${all}/sctp`).ports.length, 3 * 65535);
  assert.throws(() => options("-p", Array(100_000).fill(all).join(",")), {
    message: `Cannot publish "${all}": with it there would be more than 196605 ports`,
  });
});

test("a service has options of its own, which need its name", () => {
  assert.deepEqual(options("--service", "web", "--publish-mesh", "8080:80").service, {
    ...{ name: "web", affinity: false },
    ports: [{ protocol: "tcp", hostPort: 8080, port: 80 }],
  });
  assert.equal(options("-p", "8080:80").service, undefined);
  assert.throws(() => options("--affinity", "client"), /without --service/);
});

test("ports need a network", () => {
  assert.throws(() => options("--net=host", "-p", "1:2"), {
    message: "Cannot publish ports with --net=host: the container has the host's ports already",
  });
  assert.throws(() => options("--net=none", "-p", "1:2"), {
    message: "Cannot publish ports with --net=none: the container has loopback only",
  });
});

test("limits need a network", () => {
  assert.deepEqual(options("--egress=10.0.0.0/8", "--rate-in=1mbit").limits, {
    egress: [{ prefix: "10.0.0.0/8" }],
    rateIn: 1e6,
  });
  assert.throws(() => options("--net=host", "--egress=none"), {
    message: "Cannot limit a container's traffic with --net=host: it is the host's",
  });
  assert.throws(() => options("--net=none", "--rate-out=1mbit"), {
    message: "Cannot limit a container's traffic with --net=none: there is none",
  });
});

test("an uplink needs a network", () => {
  assert.equal(options("--uplink=pasta", "--uplink=slirp4netns:mtu=1500").uplink?.options.mtu, 1500);
  assert.throws(() => options("--net=none", "--uplink=pasta"), {
    message: "Cannot use an uplink with --net=none: there is nothing to connect",
  });
  assert.throws(() => options("--uplink=vpnkit"), {
    message: 'Cannot use uplink "vpnkit": there are helper, lxc-user-nic, pasta, slirp4netns',
  });
});

test("an annotation cannot open what keeps a container from the host", () => {
  const annotated = (uplink: string) => parseAnnotations({ "org.ocinet.uplink": uplink });
  for (const uplink of ["pasta", "slirp4netns:sandbox=true,host-loopback=false,dns=false"]) {
    refuseLoosening(annotated(uplink));
  }
  refuseLoosening(parseAnnotations({}));
  for (const key of ["host-loopback", "sandbox", "seccomp"]) {
    const uplink = `slirp4netns:mtu=1500,${key}=${key === "host-loopback"}`;
    assert.throws(() => refuseLoosening(annotated(uplink)), {
      message: `Cannot use annotation "org.ocinet.uplink": "${key}" in "${uplink}" ` +
        "opens what keeps a container from the host; say it with --uplink",
    });
  }
});

test("arguments that are none are refused before anything is done", () => {
  assert.throws(() => options("--net=a:FOO"), {
    message: 'Cannot read --net: argument "FOO" of network "a" is not KEY=VALUE',
  });
  for (
    const [pair, why] of [
      ["ip=x", "invalid IP address: x"],
      ["FOO=1;IP=10.1.1.999", "invalid IP address: 10.1.1.999"],
      ["mac=02:00", 'Cannot use MAC address "02:00": it is not one'],
    ]
  ) assert.throws(() => options(`--net=a:${pair}`), { message: `Cannot use network "a": ${why}` });
  options("--net=a:ip=10.1.1.9/24;mac=02-00-00-00-00-01;other=x;alias=b;alias=c,d:IP=fd00::9");
  assert.throws(() => options("--net=a:ip=10.1.1.9;IP=fd00::9"), {
    message: 'Cannot read --net: network "a" has IP twice; a container takes one',
  });
  assert.throws(() => options("--net=container:web"), {
    message: /^Cannot use --net container:web: .*; ocinet inspect web shows it$/,
  });
});

test("name servers are rkt's options, with rkt's refusals", () => {
  assert.deepEqual(
    options("--dns=10.0.0.53,fd00::53", "--dns-search=a", "--dns-search=b", "--dns-opt=ndots:2").files.resolv,
    {
      nameservers: ["10.0.0.53", "fd00::53"],
      search: ["a", "b"],
      options: ["ndots:2"],
    },
  );
  assert.deepEqual(options("--dns-domain=a").files.resolv, {
    nameservers: [],
    search: [],
    options: [],
    domain: "a",
  });
  assert.deepEqual([options("--dns=host"), options("--dns=none")].map(({ files }) => files.resolv), [
    "host",
    "none",
  ]);
  const rows = [
    [["--dns=host,10.0.0.53"], "no other --dns options allowed when --dns=host is passed"],
    [["--dns=none", "--dns=host"], "no other --dns options allowed when --dns=none is passed"],
    [["--dns=host", "--dns-opt=a"], "Cannot call --dns-opt, --dns-search, or --dns-domain with --dns=host"],
    [["--dns=x"], 'Invalid IP passed to --dns: "x"'],
    [["--dns="], 'Invalid IP passed to --dns: ""'],
    [["--dns=10.0.0.53\nsearch evil"], 'Invalid IP passed to --dns: "10.0.0.53\\nsearch evil"'],
    [["--dns-search=a b"], 'Cannot write "a b" into resolv.conf: it is not one plain word'],
    [
      ["--dns-opt=a\nnameserver 6.6.6.6"],
      'Cannot write "a\\nnameserver 6.6.6.6" into resolv.conf: it is not one plain word',
    ],
    [["--dns-domain="], 'Cannot write "" into resolv.conf: it is not one plain word'],
  ] as const;
  for (const [words, message] of rows) assert.throws(() => options(...words), { message });
});

test("host names and hosts entries are words too", () => {
  assert.deepEqual(options("--hostname=box", "--hosts-entry=10.0.0.1=db").files, {
    resolv: "network",
    hosts: new Map([["10.0.0.1", ["db"]]]),
    hostname: "box",
  });
  for (const name of ["", "a b", "a\nb", "-a", "a-", ".", "é", "x".repeat(65), "a;b", "../a"]) {
    assert.throws(() => options(`--hostname=${name}`), {
      message: `Cannot use host name ${
        JSON.stringify(name)
      }: it is not one of up to 64 letters, digits, "-" and "."`,
    });
  }
  assert.throws(
    () => options("--hosts-entry=10.0.0.1=a\n6.6.6.6 b"),
    /^Error: Did not understand --hosts-entry/,
  );
});

test("a directory of networks is an absolute path", () => {
  assert.throws(() => parseAttachOptions(parseWords(["--net-dir=nets"])), {
    message: 'Cannot read networks in --net-dir "nets": it is not an absolute path',
  });
});
