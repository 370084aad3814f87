import assert from "node:assert/strict";
import { test } from "node:test";
import { contain, keepApart, masquerade } from "../../plan/nft/endpoint.ts";
import { forwardPort } from "../../plan/nft/ports.ts";
import { setSysctl, type Step } from "../../plan/step.ts";
import { addAddress, addRoute, addVeth } from "../../plan/ip.ts";
import type { Link } from "../../plan/host_state.ts";
import { parseListeners } from "../container/ports.ts";
import { judge } from "./judge.ts";
import type { PortSeen, Seen, Side } from "./seen.ts";
import { parseTarget } from "./target.ts";

const world = "198.41.0.4";

/** One of two containers on bridge br0, with nothing wrong. */
function side(id: string, number: number, more: Partial<Side> = {}): Side {
  const [veth, ip] = [`veth${number}`, `10.5.0.${number}`];
  const at = { link: "br0", owner: `${id} ${veth}` };
  const ips = [{ address: `${ip}/24` }];
  const steps: readonly Step[] = [
    addVeth({
      host: { name: veth, mac: "02:00:00:00:00:01" },
      container: { name: "eth0", mac: "02:00:00:00:00:02" },
      netns: "/run/netns/x",
      mtu: undefined,
      master: "br0",
    }),
    addAddress("container", `${ip}/24`, "eth0"),
    addRoute("container", { dst: "0.0.0.0/0", gw: "10.5.0.1" }, "eth0"),
    setSysctl("host", `net/ipv6/conf/${veth}/accept_ra`, "0"),
    ...contain(at, ips),
    ...masquerade(at, ips),
    forwardPort(at.owner, { protocol: "tcp", hostPort: 8080, address: ip, port: 80 }),
  ];
  const up = (name: string, addresses: readonly string[], master?: string): [string, Link] => [
    name,
    {
      ...{ name, index: 5, mac: "", mtu: 1500, kind: "", alias: "", up: true, addresses, queueLength: 0 },
      ...{ altNames: [], promiscuous: false, allMulticast: false, hardware: false },
      ...(master === undefined ? {} : { master }),
    },
  ];
  return {
    described: {
      ...{ id, created: "2026", state: "up", netns: `/run/netns/${id}` },
      networks: [{
        ...{ name: "shop", ifname: "eth0", by: "bridge", ips: [`${ip}/24`], gateways: ["10.5.0.1"] },
        ...{ routes: [], nameservers: [] },
      }],
      ports: [{
        ...{ mapping: "8080:80/tcp", hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" },
        ...{ driver: "nftables", keepsClientAddress: true },
      }],
    },
    steps,
    missing: [],
    inside: {
      ...{ routes: [], rules: [] },
      links: new Map([["eth0", { name: "eth0", up: true, addresses: [`${ip}/24`, "fe80::1/64"] }]]),
    },
    links: new Map([up(veth, [], "br0"), up("br0", ["10.5.0.1/24"])]),
    reached: new Map([[ip, "br0"]]),
    way: { dev: "eth0", via: "10.5.0.1" },
    neighbour: "REACHABLE",
    ...more,
  };
}

function seen(more: Partial<Seen> = {}): Seen {
  return {
    ...{ target: parseTarget(), address: world, from: side("web", 2), forwarded: true, emptyChains: [] },
    switches: new Map([["net/ipv4/ip_forward", "1"], ["net/ipv4/conf/br0/forwarding", "1"]]),
    ...{ forward: [{ name: "iptables FORWARD", status: "ok", found: "policy ACCEPT" }] },
    hostWay: { dev: "eth9", via: "192.0.2.9" },
    nameServers: ["192.0.2.53"],
    ...more,
  };
}

const fine: PortSeen = {
  entries: [{ set: "inet ocinet ports4", value: "10.5.0.2 . 80", owner: "web veth2" }],
  inside: [{ protocol: "tcp", hostPort: 80, port: 0, inode: "1", family: 4 }],
  onHost: [],
};

function port(more: Partial<PortSeen>, from = side("web", 2)): Seen {
  const { hostWay: _, ...rest } = seen();
  return { ...rest, from, target: parseTarget(":8080"), port: { ...fine, ...more } };
}

/** Exactly one hop is wrong: its layer, what was found, and what to do. */
function isWrong(of: Seen, layer: string, found: string, remedy: RegExp): void {
  const wrong = judge(of).filter(({ ok }) => !ok);
  assert.deepEqual(wrong.map((hop) => [hop.layer, hop.found]), [[layer, found]]);
  assert.match(wrong[0]!.remedy, remedy);
}

const settled = (of: Seen) => assert.deepEqual(judge(of).filter(({ ok }) => !ok), []);

test("what is as it should be is right, and tells name servers", () => {
  settled(seen());
  settled(port({}));
  assert.deepEqual(judge(seen()).at(-1), {
    ...{ layer: "names", at: "name servers of web", found: "192.0.2.53", expected: "", ok: true, remedy: "" },
  });
});

test("a port needs a program that listens on more than the loopback address", () => {
  const on = (hostIp: string) => [{ ...fine.inside![0]!, hostIp }];
  isWrong(
    port({ inside: [] }),
    "listener",
    "no process listens",
    /^start the program that is to listen on 80\/tcp/,
  );
  isWrong(
    port({ inside: [{ ...fine.inside![0]!, hostPort: 3000 }] }),
    ...[
      "listener",
      "no process listens; on other ports: 3000",
      /publish the port that it listens on$/,
    ] as const,
  );
  isWrong(
    port({ inside: on("127.0.0.1") }),
    "listener",
    "127.0.0.1:80",
    /^have the program listen on 0\.0\.0\.0 or ::/,
  );
  isWrong(port({ inside: on("::1") }), "listener", "[::1]:80", /^have the program listen/);
  settled(port({ inside: on("10.5.0.2") }));
  settled(port({ inside: [...on("127.0.0.1"), fine.inside![0]!] }));
  const { inside: _, ...unknown } = fine;
  settled({ ...port({}), port: unknown });
});

test("a port that stays closed is told, though its program listens", () => {
  const { described, ...rest } = side("web", 2);
  const ports = described.ports.map((one) => ({ ...one, driver: "none" }));
  isWrong(
    port({ entries: [] }, { ...rest, described: { ...described, ports }, steps: [] }),
    "port",
    "closed; web is on no network that publishes ports",
    /^ocinet network connect NETWORK web, with a network that is not internal$/,
  );
});

test("a program of the host's that listens on the port is told", () => {
  isWrong(
    port({ onHost: ["process 9 (nginx)"] }),
    "host service",
    "process 9 (nginx) listens",
    /^end that program/,
  );
});

test("firewalls of others, flushed chains and switches each are a hop of their own", () => {
  const drops = {
    name: "iptables FORWARD",
    status: "warning",
    found: "policy DROP",
    remedy: "iptables -I …",
  } as const;
  isWrong(seen({ forward: [drops] }), "firewall", "policy DROP", /^iptables -I …$/);
  isWrong(
    seen({ emptyChains: ["postrouting"] }),
    ...[
      "rules",
      "without a rule: postrouting",
      /^nft delete table inet ocinet; then ocinet repair web$/,
    ] as const,
  );
  isWrong(
    seen({ switches: new Map([["net/ipv4/ip_forward", "1"], ["net/ipv4/conf/br0/forwarding", "0"]]) }),
    ...[
      "forwarding",
      "off by net.ipv4.conf.br0.forwarding",
      /^sysctl -w net\/ipv4\/conf\/br0\/forwarding=1/,
    ] as const,
  );
});

test("a next hop that does not answer, a setting, an address and a host's route are told", () => {
  const from = (more: Partial<Side>) => seen({ from: side("web", 2, more) });
  isWrong(from({ neighbour: "FAILED" }), "neighbour", "does not answer", /ip neighbour flush dev eth0/);
  settled(from({ neighbour: "STALE" }));
  const web = side("web", 2);
  const missing = web.steps.filter(({ tool }) => tool === "sysctl");
  const changed = "not net.ipv6.conf.veth2.accept_ra=0";
  isWrong(seen({ from: { ...web, missing } }), "settings", changed, /^ocinet repair web; look/);
  isWrong(
    from({ reached: new Map([["10.5.0.2", "docker0"]]) }),
    "host route",
    "by docker0",
    /^ip route get 10\.5\.0\.2/,
  );
  const bare = new Map([["eth0", { name: "eth0", up: true, addresses: [] }]]);
  isWrong(from({ inside: { links: bare, routes: [], rules: [] } }), "address", "none", /^ocinet repair web$/);
  isWrong(from({ way: { problem: "no route" } }), "route", "no route", /^ocinet repair web$/);
  isWrong(seen({ hostWay: { problem: "no route" } }), "host route", "no route", /^give the host a route/);
});

test("a container that may not be entered is not judged inside, and one of CNI's is not for repair", () => {
  const { inside: _, way: _way, ...outside } = side("web", 2);
  const [first] = judge(seen({ from: { ...outside, closed: "it is user 1000's, who may trace it" } }));
  assert.deepEqual([first!.layer, first!.ok, first!.found], [
    ...["container", true, "not looked into: it is user 1000's, who may trace it"],
  ]);
  const { described, ...rest } = side("web", 2);
  const byCni = { ...rest, described: { ...described, created: "" }, way: { problem: "no route" } };
  isWrong(seen({ from: byCni }), "route", "no route", /^have its CNI runtime delete it/);
});

test("a neighbour is judged as well, and a network that keeps its containers apart is told", () => {
  const { hostWay: _, ...rest } = seen();
  const between = (to: Side): Seen => ({
    ...{ ...rest, target: parseTarget("db"), address: "10.5.0.3", shared: "shop", to },
    ...{ from: side("web", 2, { way: { dev: "eth0" } }) },
  });
  const db = side("db", 3, { way: { dev: "eth0" } });
  const onLink = between(db);
  // addAddress makes the route to its subnet.
  settled(onLink);
  assert.equal(judge(onLink).filter(({ layer }) => layer === "bridge").length, 1);
  const apart = keepApart({ link: "br0", owner: "db veth3" }, [{ address: "10.5.0.3/24" }], true);
  isWrong(
    between({ ...db, steps: [...db.steps, ...apart] }),
    "network",
    "shop keeps its containers apart",
    /connect/,
  );
  isWrong(between({ ...db, way: { problem: "no route" } }), "route", "no route", /^ocinet repair db$/);
});

test("listeners are read from the kernel's tables", () => {
  const row = (address: string, state: string) =>
    `   0: ${address}:0050 00000000:0000 ${state} 0:0 0:0 0 0 0 77`;
  const text = [
    "  sl  local_address …",
    row("0100007F", "0A"),
    row("00000000", "01"),
    row("0".repeat(32), "0A"),
  ];
  assert.deepEqual(parseListeners(text.join("\n"), "tcp"), [
    { protocol: "tcp", hostPort: 80, port: 0, inode: "77", hostIp: "127.0.0.1", family: 4 },
    { protocol: "tcp", hostPort: 80, port: 0, inode: "77" },
  ]);
});

test("targets are read", () => {
  assert.deepEqual(parseTarget(":53/udp"), { kind: "port", port: 53, protocol: "udp" });
  assert.deepEqual(parseTarget("2001:DB8::1"), { kind: "address", address: "2001:db8::1" });
  assert.deepEqual(parseTarget("db"), { kind: "container", id: "db" });
  assert.throws(() => parseTarget(":70000"), /":70000": it is not :PORT or :PORT\/udp/);
});
