import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { acceptLoopbackAnswers } from "../../plan/ip.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import * as portmap from "./portmap.ts";

const at = { containerId: "c1", network: "n1", ifname: "eth0", digest: "a1".repeat(64) } as Attachment;
const nothing: HostState = { links: new Map(), sysctls: new Map() };
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "cni0" }, { name: "veth1" }, { name: "eth0", sandbox: "/n" }],
  ips: [{ address: "10.1.2.3/24", interface: 2 }, { address: "10.1.2.4/24", interface: 2 }, {
    address: "fd00::3/64",
    interface: 2,
  }],
};

function parse(...portMappings: readonly unknown[]) {
  return portmap.parse(fields({ runtimeConfig: { portMappings } }));
}

function plan(mappings: readonly unknown[], result = made): string {
  return show(portmap.plan(parse(...mappings), at, result, nothing).steps);
}

test("mappings are read as every client spells them", () => {
  const rows = [
    [{ hostPort: 8080, containerPort: 80 }, { protocol: "tcp", hostPort: 8080, port: 80 }],
    [
      { HostPort: 8080, ContainerPort: 80, Protocol: "UDP", HostIP: "" },
      { protocol: "udp", hostPort: 8080, port: 80 },
    ],
    [
      { hostPort: 1, containerPort: 65535, protocol: "sctp", hostIP: "::1" },
      { protocol: "sctp", hostIp: "::1", family: 6, hostPort: 1, port: 65535 },
    ],
    [{ hostPort: 1, containerPort: 1, hostIP: "0.0.0.0" }, {
      protocol: "tcp",
      family: 4,
      hostPort: 1,
      port: 1,
    }],
    [{ hostPort: 1, containerPort: 1, hostIP: "::" }, { protocol: "tcp", family: 6, hostPort: 1, port: 1 }],
  ];
  for (const [entry, wanted] of rows) assert.deepEqual(parse(entry).mappings, [wanted]);
  assert.deepEqual(portmap.parse(fields({})), {
    ...{ mappings: [], masks: "needed", conditions: { 4: "", 6: "" }, held: true },
    modes: { 4: "nat", 6: "nat" },
  });
});

test("a mapping that cannot be is refused", () => {
  const good = { hostPort: 1, containerPort: 1 };
  const rows: readonly (readonly [unknown, string])[] = [
    [{ ...good, containerPort: 0 }, "Invalid container port number: 0"],
    [{ hostPort: 1 }, "Invalid container port number: 0"],
    [{ ...good, containerPort: 70000 }, "Invalid container port number: 70000"],
    [{ ...good, hostPort: -1 }, "Invalid host port number: -1"],
    [{ ...good, hostPort: 65536 }, "Invalid host port number: 65536"],
    [{ ...good, protocol: "tcp }\n" }, 'invalid protocol "tcp }\n": it is neither tcp, udp nor sctp'],
    [{ ...good, hostIP: "1.2.3.4 }" }, 'invalid hostIP "1.2.3.4 }"'],
    [{ ...good, hostIP: "010.2.3.4" }, 'invalid hostIP "010.2.3.4"'],
  ];
  for (const [entry, message] of rows) {
    assert.throws(() => parse(entry), { code: 999, message: `failed to parse config: ${message}` });
  }
  assert.throws(() => parse({ ...good, hostPort: "80" }), { code: 6 });
});

/** The ways from 127.0.0.1 and back to ::1. */
const loopback = `nft add element inet ocinet localnet { "cni0" }
sysctl -w net/ipv4/conf/cni0/route_localnet=1
${show([acceptLoopbackAnswers("cni0")])}`;

/** What is said of a link that another program made. */
const others = `${loopback}
nft add element inet ocinet subnets4 { "cni0" . 10.1.2.3 . 10.1.2.0/24 }
nft add element inet ocinet subnets6 { "cni0" . fd00::3 . fd00::/64 }`;

test("a port leads to the container's first address of each family", () => {
  assert.equal(
    plan([{ hostPort: 8080, containerPort: 80 }]),
    `${others}
nft create element inet ocinet ports4 { tcp . 8080 comment "c1 veth1" : 10.1.2.3 . 80 }; add element inet ocinet held4 { tcp . 8080 }
nft create element inet ocinet ports6 { tcp . 8080 comment "c1 veth1" : fd00::3 . 80 }; add element inet ocinet held6 { tcp . 8080 }`,
  );
});

/** What fails where the port leads elsewhere on all addresses. */
const probe = (start: string) =>
  ["create", "delete"].map((verb) => `${verb} element inet ocinet ports${start} . 80 };`).join(" ");

test("a port on one address, or one family, leads to that family only", () => {
  const ports = ["10.0.0.1", "::1", "0.0.0.0", "::"].map((hostIP, i) => ({
    hostPort: i + 1,
    containerPort: 80,
    hostIP,
  }));
  assert.equal(
    plan(ports),
    `${others}
nft ${
      probe("4 { tcp . 1 : 10.1.2.3")
    } create element inet ocinet hostports4 { 10.0.0.1 . tcp . 1 comment "c1 veth1" : 10.1.2.3 . 80 }
nft ${
      probe("6 { tcp . 2 : fd00::3")
    } create element inet ocinet hostports6 { ::1 . tcp . 2 comment "c1 veth1" : fd00::3 . 80 }
nft create element inet ocinet ports4 { tcp . 3 comment "c1 veth1" : 10.1.2.3 . 80 }; add element inet ocinet held4 { tcp . 3 }
nft create element inet ocinet ports6 { tcp . 4 comment "c1 veth1" : fd00::3 . 80 }; add element inet ocinet held6 { tcp . 4 }`,
  );
});

test("flows of UDP end, those of one address alone where the port is on that", () => {
  const shown = plan([
    { hostPort: 53, containerPort: 53, protocol: "udp" },
    { hostPort: 54, containerPort: 53, protocol: "udp", hostIP: "10.0.0.1" },
  ]);
  assert.match(
    shown,
    /\nconntrack -D -p udp --orig-port-dst 53\nconntrack -D -p udp --orig-dst 10.0.0.1 --orig-port-dst 54$/,
  );
});

test("a port with conditions leads to a chain of its own, which goes with it", () => {
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  const lines = (conf: Record<string, unknown>) =>
    portmap.plan(portmap.parse(fields({ ...conf, runtimeConfig })), at, made, nothing).steps.filter((
      { id },
    ) => id.kind === "chain" || id.kind === "element" && id.value !== undefined);
  const chain = "inet ocinet vetha1a1a1a1a1a_tcp_8080_4";
  const steps = lines({ conditionsV4: ["!", "-s", "192.0.2.0/24,10.9.9.9", "-i", "eth+"] });
  assert.equal(
    show(steps),
    `nft add chain ${chain}; flush chain ${chain}; add rule ${chain} meta nfproto ipv4 tcp dport 8080 ` +
      `ip saddr != { 192.0.2.0/24, 10.9.9.9 } iifname "eth*" dnat ip to 10.1.2.3:80
nft create element inet ocinet whenports4 { tcp . 8080 comment "c1 veth1" : jump vetha1a1a1a1a1a_tcp_8080_4 }; add element inet ocinet held4 { tcp . 8080 }
nft create element inet ocinet ports6 { tcp . 8080 comment "c1 veth1" : fd00::3 . 80 }; add element inet ocinet held6 { tcp . 8080 }`,
  );
  const element = "element inet ocinet whenports4 { tcp . 8080 : jump vetha1a1a1a1a1a_tcp_8080_4 }";
  assert.deepEqual(steps.slice(0, 2).map((step) => "undo" in step && step.undo), [
    `add chain ${chain}\ndelete chain ${chain}`,
    `add chain ${chain}\n${
      [element, "element inet ocinet held4 { tcp . 8080 }"].map((it) => `add ${it}\ndelete ${it}`).join("\n")
    }`,
  ]);
  runtimeConfig.portMappings[0] = { hostPort: 80, containerPort: 81, hostIP: "2001:db8::1" } as never;
  assert.match(
    show(lines({ conditionsV6: ["ip6", "daddr", "!=", "fc00::/7"] })),
    /add rule inet ocinet vetha1a1a1a1a1a_tcp_80_6_2001.db8..1 meta nfproto ipv6 tcp dport 80 ip6 daddr != fc00::\/7 dnat ip6 to \[fd00::3\]:81\nnft create element inet ocinet whenhostports6 \{ 2001:db8::1 . tcp . 80 comment "c1 veth1" : jump vetha1/,
  );
});

test("conditions in iptables' words are what they mean in nft's (cni#830)", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["--src 192.0.2.0/255.255.255.0 --dst=10.9.9.9", "ip saddr 192.0.2.0/24 ip daddr 10.9.9.9"],
    ["-s192.0.2.1 ! -o eth+ -i lo", 'ip saddr 192.0.2.1 oifname != "eth*" iifname "lo"'],
    ["-m comment --comment hi;drop -s 1.1.1.1", "ip saddr 1.1.1.1"],
    ["-m tcp ! --sport 1024:65535", "meta l4proto tcp th sport != 1024-65535"],
    ["-m udp --source-port=53", "meta l4proto udp th sport 53"],
    ["-m addrtype --dst-type LOCAL", "fib daddr type local"],
    ["-m addrtype ! --src-type LOCAL,UNICAST", "fib saddr type != { local, unicast }"],
    ["-m mark --mark 0x10/0xff", "meta mark & 255 == 16"],
    ["--match mark ! --mark 1", "meta mark & 4294967295 != 1"],
    ["-m conntrack --ctstate NEW", "ct state new"],
    ["-m comment --comment nothing", ""],
  ];
  for (const [words, nft] of rows) {
    const { conditions } = portmap.parse(fields({ conditionsV4: words.split(" ") }));
    assert.equal(conditions[4], nft, words);
  }
  const six = portmap.parse(fields({ conditionsV6: ["--dst", "fd00::/64"] }));
  assert.equal(six.conditions[6], "ip6 daddr fd00::/64");
});

test("a chain of iptables' marks whom we leave to others to masquerade", () => {
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, hostIP: "0.0.0.0" }] };
  const calls = (conf: Record<string, unknown>) =>
    show(portmap.plan(portmap.parse(fields({ ...conf, runtimeConfig })), at, made, nothing).steps).split("\n")
      .filter((line) => /unmasked|ip6?tables/.test(line));
  const rule = (from: string, ip: string) =>
    `${ip.includes(":") ? "ip6tables" : "iptables"} --wait -t nat -I POSTROUTING ` +
    `${from}-d ${ip} -m conntrack --ctstate DNAT -j KUBE-MARK-MASQ`;
  const [four, six] = ['4 { "cni0" . 10.1.2.3 }', '6 { "cni0" . fd00::3 }'].map((end) =>
    `nft add element inet ocinet unmasked${end}`
  );
  assert.deepEqual(calls({ externalSetMarkChain: "KUBE-MARK-MASQ" }), [
    four,
    rule("-s 10.1.2.0/24 ", "10.1.2.3"),
    rule("-s 127.0.0.0/8 ", "10.1.2.3"),
    six,
    rule("-s fd00::/64 ", "fd00::3"),
    rule("-s ::1 ", "fd00::3"),
  ]);
  assert.deepEqual(calls({ externalSetMarkChain: "KUBE-MARK-MASQ", masqAll: true }), [
    four,
    rule("", "10.1.2.3"),
    six,
    rule("", "fd00::3"),
  ]);
  assert.deepEqual(calls({ externalSetMarkChain: "KUBE-MARK-MASQ", snat: false }), [four, six]);
});

test("addresses of other interfaces are passed over; those of no interface are the container's", () => {
  const [eth0] = made.interfaces.slice(2);
  const ips = [{ address: "10.9.9.9/24", interface: 0 }, { address: "10.1.2.5/24" }, {
    address: "10.8.8.8/24",
    interface: 7,
  }];
  const port = [{ hostPort: 1, containerPort: 2 }];
  assert.equal(
    plan(port, { ...made, interfaces: [{ name: "eth0" }, eth0!], ips }),
    `nft add element inet ocinet localnet { "eth0" }
sysctl -w net/ipv4/conf/eth0/route_localnet=1
nft add element inet ocinet subnets4 { "eth0" . 10.1.2.5 . 10.1.2.0/24 }
nft create element inet ocinet ports4 { tcp . 1 comment "c1 eth0" : 10.1.2.5 . 2 }; add element inet ocinet held4 { tcp . 1 }`,
  );
});

test("a link that another program names oddly becomes no path", () => {
  const interfaces = [{ name: "../../../kernel" }, ...made.interfaces];
  assert.doesNotMatch(
    plan([{ hostPort: 1, containerPort: 2 }], { ...made, interfaces, ips: [{ address: "10.1.2.3/24" }] }),
    /kernel/,
  );
});

test("without mappings nothing is done, and the result is handed on", () => {
  assert.deepEqual(portmap.plan(parse(), at, made, nothing), { steps: [], result: made });
});

test("visitors are masqueraded where they have to be, always, or never", () => {
  const runtimeConfig = { portMappings: [{ hostPort: 1, containerPort: 2 }] };
  const lines = (conf: Record<string, unknown>) =>
    show(portmap.plan(portmap.parse(fields({ ...conf, runtimeConfig })), at, made, nothing).steps);
  const ports =
    `nft create element inet ocinet ports4 { tcp . 1 comment "c1 veth1" : 10.1.2.3 . 2 }; add element inet ocinet held4 { tcp . 1 }
nft create element inet ocinet ports6 { tcp . 1 comment "c1 veth1" : fd00::3 . 2 }; add element inet ocinet held6 { tcp . 1 }`;
  const masked = `nft add element inet ocinet masked4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet masked6 { "cni0" . fd00::3 }`;
  for (
    const conf of [{}, { snat: true, masqAll: false }, { backend: "" }, {
      markMasqBit: 0,
      backend: "iptables",
    }]
  ) {
    assert.equal(lines(conf), `${others}\n${ports}`);
  }
  assert.equal(lines({ masqAll: true, backend: "nftables" }), `${others}\n${masked}\n${ports}`);
  assert.equal(lines({ snat: false, masqAll: true }), `${masked.replaceAll("masked", "unmasked")}\n${ports}`);
});

test("routed, the container's own ports are opened, and nothing of the host's is used", () => {
  const runtimeConfig = {
    portMappings: [
      { hostPort: 1, containerPort: 80 },
      { hostPort: 2, containerPort: 80, hostIP: "0.0.0.0" },
      { hostPort: 3, containerPort: 53, hostIP: "::1", protocol: "udp" },
    ],
  };
  const by = (four: string) =>
    portmap.parse(fields({ gatewayModes: { 4: four, 6: "routed" }, runtimeConfig }));
  const six = `nft add element inet ocinet opened6 { "cni0" . fd00::3 . tcp . 80 }
nft add element inet ocinet opened6 { "cni0" . fd00::3 . udp . 53 }
conntrack -D -p udp --orig-dst ::1 --orig-port-dst 3`;
  const opened = `nft add element inet ocinet opened4 { "cni0" . 10.1.2.3 . tcp . 80 }\n`;
  assert.equal(show(portmap.plan(by("routed"), at, made, nothing).steps), opened + opened + six);
  const older = portmap.parse(fields({ routed: true, runtimeConfig }));
  assert.equal(show(portmap.plan(older, at, made, nothing).steps), opened + opened + six);
  assert.deepEqual(portmap.evidence(by("routed"), at, made), {});
  // Of a family that is not routed, the host's ports lead to the container.
  const both = show(portmap.plan(by("nat"), at, made, nothing).steps);
  assert.ok(both.endsWith(six) && !both.includes("opened4"), both);
  assert.deepEqual(both.match(/\w*ports\d \{ [a-z]+ \. \d/g), ["ports4 { tcp . 1", "ports4 { tcp . 2"]);
  assert.throws(() => by("open"), /Cannot use gateway mode "open": there are nat, nat-unprotected, routed/);
});

test("options that cannot be are refused", () => {
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ backend: "ipfw" }, 'unrecognized backend "ipfw"'],
    [{ markMasqBit: 32 }, "MasqMarkBit must be between 0 and 31"],
    [{ markMasqBit: -1 }, "MasqMarkBit must be between 0 and 31"],
    [{ markMasqBit: 1, externalSetMarkChain: "X" }, "Cannot specify externalSetMarkChain and markMasqBit"],
    [{ externalSetMarkChain: "-X" }, 'Cannot use externalSetMarkChain "-X": it is no name of a chain'],
    [
      { backend: "nftables", externalSetMarkChain: "X" },
      "nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain]",
    ],
    [
      { backend: "iptables", conditionsV4: ["ip", "saddr", "1.2.3.4"] },
      "iptables backend was requested but configuration contains nftables-specific options [conditionsV4]",
    ],
    [
      { backend: "nftables", conditionsV6: ["!", "-s", "fd00::1"] },
      "nftables backend was requested but configuration contains iptables-specific options [conditionsV6]",
    ],
    ...[["-m", "set", "--match-set", "x", "src"], ["-m"], ["!", "-m", "tcp"]].map((words) => {
      const said = words[0] === "!" ? "! -m tcp" : `-m ${words[1] ?? ""}`;
      return [
        { conditionsV4: words },
        `Cannot use "${said}" of "conditionsV4": of iptables' modules only comment, addrtype, mark, conntrack, state, ` +
        "tcp, udp, sctp are known; say it in nft's words",
      ] as const;
    }),
    ...["!", "-j", "-p", "constructor"].map((word) =>
      [
        { conditionsV4: ["-i", "eth0", word, "x"] },
        `Cannot use "${
          word === "!" ? "x" : word
        }" of "conditionsV4": of iptables' words only ! and --source, --destination, --in-interface, --out-interface, ` +
        "--comment, --src-type, --dst-type, --source-port, --ctstate, --mark, -m are known; say it in nft's",
      ] as const
    ),
    [
      { conditionsV6: ["-s", "1.2.3.4"] },
      'Cannot use "1.2.3.4" of "conditionsV6": it is no IPv6 address or prefix',
    ],
    [{ conditionsV4: ["-d"] }, 'Cannot use "-d" of "conditionsV4": it has no value'],
    [{ conditionsV4: ["-d", ""] }, 'Cannot use "" of "conditionsV4": it is no IPv4 address or prefix'],
    [
      { conditionsV4: ["--src", "10.0.0.0/255.0.255.0"] },
      'Cannot use "10.0.0.0/255.0.255.0" of "conditionsV4": it is no IPv4 address or prefix',
    ],
    [
      { conditionsV4: ["-m", "mark", "--mark", "0x1ffffffff"] },
      'Cannot use "--mark 0x1ffffffff" of "conditionsV4": it is no mark, or mark and mask as 0x1/0xff',
    ],
    [
      { conditionsV4: ["-m", "tcp", "--sport", "9:8"] },
      'Cannot use "--sport 9:8" of "conditionsV4": it is no port, or range as 1024:65535',
    ],
    [
      { conditionsV4: ["!", "--comment", "x"] },
      'Cannot use "! --comment" of "conditionsV4": a comment matches all',
    ],
    [
      { conditionsV4: ["-m", "state", "--state", "NEW; accept"] },
      'Cannot use "--state NEW; accept" of "conditionsV4": "new; accept" is none of invalid, new, established, related, untracked',
    ],
    [
      { conditionsV4: ["-i", "a b"] },
      'Cannot use "a b" of "conditionsV4": interface name contains / or : or whitespace characters',
    ],
    [
      { conditionsV4: ["ip", "saddr", "1.2.3.4; drop"] },
      'Cannot use "1.2.3.4; drop" of "conditionsV4": it is no word of a rule',
    ],
  ];
  for (const [conf, message] of rows) {
    assert.throws(() => portmap.parse(fields(conf)), {
      code: 999,
      message: `failed to parse config: ${message}`,
    });
  }
  assert.deepEqual(portmap.parse(fields({ conditionsV4: [] })).masks, "needed");
});

/** As a main type of ours makes it. */
const ours: Result = {
  ...made,
  interfaces: [{ name: "cni0" }, { name: "vetha1a1a1a1a1a" }, { name: "eth0", sandbox: "/n" }],
};

test("where another program made the link, the host's route says which leads to the container", () => {
  const bare: Result = { ...emptyResult, ips: [{ address: "10.1.2.3/24" }, { address: "fd00::3/64" }] };
  const conf = parse({ hostPort: 8080, containerPort: 80 });
  const looks = { sysctls: ["net/bridge/bridge-nf-call-ip6tables"] };
  assert.deepEqual(portmap.lookups(conf, at, bare), {
    ...looks,
    reached: ["10.1.2.3", "fd00::3"],
    links: [],
  });
  assert.deepEqual(portmap.lookups(conf, at, made), {
    ...looks,
    reached: ["10.1.2.3", "10.1.2.4", "fd00::3"],
    links: ["cni0", "veth1"],
  });
  for (const result of [ours, undefined]) assert.deepEqual(portmap.lookups(conf, at, result), looks);
  assert.deepEqual(portmap.lookups(parse(), at, bare), {});
  const seen = { links: new Map(), sysctls: new Map(), reached: new Map([["10.1.2.3", "cni0"]]) };
  const portFirst = {
    ...made,
    interfaces: [{ name: "veth1" }, { name: "cni0" }, ...made.interfaces.slice(2)],
  };
  for (const result of [bare, portFirst]) {
    assert.equal(
      show(portmap.plan(conf, at, result, seen).steps).split("\n")[1],
      "sysctl -w net/ipv4/conf/cni0/route_localnet=1",
    );
  }
});

test("what a main type of ours has guarded, and said of its subnets, is not said again", () => {
  const text = plan([{ hostPort: 8080, containerPort: 80 }], ours);
  assert.match(text, /^sysctl -w net\/ipv4\/conf\/cni0\/route_localnet=1$/m);
  assert.match(text, / ports4 \{ tcp \. 8080 comment "c1 vetha1a1a1a1a1a" : /);
  assert.doesNotMatch(text, /localnet \{|subnets/);
});

test("where a bridge loses the answers, [::1] is refused at once: by the kernel, or if it is asked for", () => {
  const seen = { ...nothing, sysctls: new Map([["net/bridge/bridge-nf-call-ip6tables", "1"]]) };
  const lines = (conf: ReturnType<typeof parse>, result = ours) =>
    show(portmap.plan(conf, at, result, seen).steps).split("\n").filter((line) =>
      line.includes("no_loopback6")
    );
  const spared = [
    'nft create element inet ocinet ports6 { tcp . 8080 comment "c1 vetha1a1a1a1a1a" : fd00::3 . 80 }; ' +
    "add element inet ocinet held6 { tcp . 8080 }; add element inet ocinet no_loopback6 { tcp . 8080 }",
  ];
  assert.deepEqual(lines(parse({ hostPort: 8080, containerPort: 80 })), spared);
  assert.deepEqual(lines(parse({ hostPort: 8080, containerPort: 80, hostIP: "0.0.0.0" })), []);
  const ptp = { ...ours, interfaces: ours.interfaces.slice(1).concat(ours.interfaces[2]!) };
  assert.deepEqual(lines(parse({ hostPort: 8080, containerPort: 80 }), ptp), []);
  const loopback = parse({ hostPort: 8080, containerPort: 80, hostIP: "::1" });
  assert.throws(() => lines(loopback), /^CniError: Cannot publish "\[::1\]:8080" by bridge "cni0": sysctl /);
  assert.doesNotThrow(() => portmap.forwardPorts(loopback, at, ours, seen));
  assert.doesNotThrow(() => portmap.plan(loopback, at, ours, nothing));
});
