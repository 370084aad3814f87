import assert from "node:assert/strict";
import { test } from "node:test";
import { drawHtml } from "./html.ts";
import { wrapText } from "./layout.ts";
import type { MapContainer, MapPort, NetworkMap } from "./model.ts";
import { drawSvg } from "./svg.ts";
import { drawText } from "./text.ts";

const hostile = "x<script>alert(1)</script>\"'&\x1b[2J\x9b\u202e\ud800\n\u4e2d";

const masked = { name: "shop", driver: "bridge", scope: "local", internal: false, known: true } as const;

const map: NetworkMap = {
  host: "bookworm",
  networks: [
    {
      ...masked,
      subnets: [{ subnet: "10.5.0.0/24", gateway: "10.5.0.1" }, { subnet: "fd00:5::/64" }],
      link: "br-0123456789ab",
    },
    { ...masked, name: "backup", internal: true, subnets: [{ subnet: "10.6.0.0/24" }] },
  ],
  containers: [
    container("web", ["shop", "eth0", "10.5.0.2/24", "fd00:5::2/64"], ["backup", "eth1", "10.6.0.2/24"]),
    { ...container("db", ["shop", "eth0", "10.5.0.3/24"]), state: "dead", reason: "its namespace is gone" },
    container("2adb".padEnd(64, "0"), ["backup", "eth0", "10.6.0.3/24"]),
    container("lone"),
  ],
  ports: [
    port("web", 8080, "nftables"),
    port("web", 7000, "relay"),
    port("web", 7001, "relay"),
  ],
  ways: [{ network: "shop", kind: "masquerade" }, { network: "backup", kind: "internal" }],
};

function container(id: string, ...networks: readonly (readonly string[])[]): MapContainer {
  const interfaces = networks.map(([network, ifname, ...ips]) => ({
    ...{ network: network!, ifname: ifname!, by: "bridge", ips },
  }));
  return { id, state: "up", interfaces };
}

function port(container: string, number: number, by: string): MapPort {
  return {
    ...{ mapping: `${number}:${number}/tcp`, hostIp: "", hostPort: number, containerPort: number },
    ...{ protocol: "tcp", keepsClientAddress: by === "nftables", container, network: "shop", by },
  };
}

/** A map in which every name is hostile. */
function hostileMap(): NetworkMap {
  const one = container(hostile, [hostile, hostile, hostile]);
  return {
    host: hostile,
    networks: [{
      ...{ name: hostile, driver: hostile, scope: "local", internal: false, known: true, link: hostile },
      subnets: [{ subnet: hostile, gateway: hostile }],
    }],
    containers: [{ ...one, state: "partial", reason: hostile }, container(`${hostile}2`)],
    ports: [{ ...port(hostile, 80, hostile), mapping: hostile, network: hostile }],
    ways: [{ network: hostile, kind: "uplink", by: hostile }],
  };
}

/** As many containers on a network. */
function crowd(count: number): NetworkMap {
  const containers = Array.from(
    { length: count },
    (_, i) => container(`app-${i}`, ["shop", "eth0", `10.5.0.${i}/16`]),
  );
  return { ...map, networks: [map.networks[0]!], containers, ports: [] };
}

test("a map in 80 columns", () => {
  assert.equal(
    drawText(map, { width: 80, color: false, unicode: true }),
    `host bookworm
│
│ ┌─ shop: bridge br-0123456789ab ─────────────────────────────────────────────┐
├─┤ 10.5.0.0/24 gateway 10.5.0.1                                               │
│ │ fd00:5::/64                                                                │
│ │ world: masquerade, behind the host's addresses                             │
│ ├────────────────────────────────────────────────────────────────────────────┤
│ │ web                                   db                                   │
│ │   eth0 10.5.0.2/24 fd00:5::2/64         dead: its namespace is gone        │
│ │   8080:8080/tcp by nftables             eth0 10.5.0.3/24                   │
│ │   7000-7001:7000-7001/tcp by relay                                         │
│ └────────────────────────────────────────────────────────────────────────────┘
│
│ ┌─ backup: bridge ───────────────────────────────────────────────────────────┐
├─┤ 10.6.0.0/24                                                                │
│ │ world: no way, internal                                                    │
│ ├────────────────────────────────────────────────────────────────────────────┤
│ │ web                                   2adb00000000                         │
│ │   eth1 10.6.0.2/24                      eth0 10.6.0.3/24                   │
│ └────────────────────────────────────────────────────────────────────────────┘
│
│ ┌─ on no network ────────────────────────────────────────────────────────────┐
└─┤ lone                                                                       │
  └────────────────────────────────────────────────────────────────────────────┘
`,
  );
});

test("a map in 40 columns, of ASCII", () => {
  assert.equal(
    drawText(map, { width: 40, color: false, unicode: false }),
    `host bookworm
|
| +- shop: bridge br-0123456789ab -----+
+-| 10.5.0.0/24 gateway 10.5.0.1       |
| | fd00:5::/64                        |
| | world: masquerade, behind the      |
| |   host's addresses                 |
| +------------------------------------+
| | web                                |
| |   eth0 10.5.0.2/24 fd00:5::2/64    |
| |   8080:8080/tcp by nftables        |
| |   7000-7001:7000-7001/tcp by relay |
| | db                                 |
| |   dead: its namespace is gone      |
| |   eth0 10.5.0.3/24                 |
| +------------------------------------+
|
| +- backup: bridge -------------------+
+-| 10.6.0.0/24                        |
| | world: no way, internal            |
| +------------------------------------+
| | web                                |
| |   eth1 10.6.0.2/24                 |
| | 2adb00000000                       |
| |   eth0 10.6.0.3/24                 |
| +------------------------------------+
|
| +- on no network --------------------+
+-| lone                               |
  +------------------------------------+
`,
  );
});

test("no line is longer than the terminal, and all that is known is in them", () => {
  for (const width of [24, 40, 80, 200]) {
    for (const one of [map, hostileMap(), crowd(3), crowd(300)]) {
      const lines = drawText(one, { width, color: false, unicode: true }).split("\n");
      assert.deepEqual(lines.filter((line) => line.length > width), []);
    }
    const all = drawText(crowd(300), { width, color: false, unicode: true });
    assert.equal(all.match(/app-\d+/g)!.length, 300);
  }
  assert.ok(drawText(crowd(300), { width: 200, color: false, unicode: true }).split("\n").length < 160);
});

test("colours change nothing but colours", () => {
  const plain = drawText(map, { width: 80, color: false, unicode: true });
  const colored = drawText(map, { width: 80, color: true, unicode: true });
  assert.ok(colored.includes("\x1b[31m  dead: its namespace is gone\x1b[0m"));
  // deno-lint-ignore no-control-regex
  assert.equal(colored.replaceAll(/\x1b\[\d+m/g, ""), plain);
});

test("an empty host says what to do", () => {
  const empty = { host: "bookworm", networks: [], containers: [], ports: [], ways: [] };
  assert.equal(
    drawText(empty, { width: 80, color: false, unicode: true }),
    "host bookworm\nno container is on any network; --all shows all networks\n",
  );
  assert.match(drawSvg(empty), /no container is on any network/);
  assert.match(drawHtml(empty), /No container is on any network/);
});

test("hostile names reach no terminal, and are text in a page", () => {
  const text = drawText(hostileMap(), { width: 200, color: false, unicode: false });
  assert.match(text, /^[\x20-\x7e\n]+$/);
  for (const page of [drawSvg(hostileMap()), drawHtml(hostileMap())]) {
    assert.match(page, /^[\x20-\x7e\n]+$/);
    assert.doesNotMatch(page, /<script>alert/);
    assert.match(page, /x&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&#39;&amp;\\u001b\[2J\\u009b/);
    checkNesting(page);
  }
});

/** Every tag that is opened is closed, and no attribute breaks out of its quotes. */
function checkNesting(page: string): void {
  const open: string[] = [];
  const empty = ["meta", "input", "path", "rect"];
  const content = page.replace(/<(script|style)>.*?<\/\1>/gs, "").replace(/^<!doctype html>/, "");
  for (
    const [tag, close, name] of content.matchAll(/<(\/?)([a-z0-9]+)(?: [a-z:A-Z-]+(?:="[^"<]*")?)*(\/?)>/g)
  ) {
    if (close === "/") assert.equal(open.pop(), name, tag);
    else if (!empty.includes(name!)) open.push(name!);
  }
  assert.deepEqual(open, []);
  const rest = content.replaceAll(/<\/?[a-z0-9]+(?: [a-z:A-Z-]+(?:="[^"<]*")?)*\/?>/g, "");
  assert.doesNotMatch(rest, /[<>]/);
}

test("an SVG and a page need nothing else, and are light and dark", () => {
  for (const page of [drawSvg(map), drawHtml(map)]) {
    checkNesting(page);
    assert.match(page, /prefers-color-scheme:dark/);
    assert.doesNotMatch(page, /\b(src|url|@import)\b\s*[=(]/);
    assert.doesNotMatch(page.replace('xmlns="http://www.w3.org/2000/svg"', ""), /https?:/);
  }
});

test("an SVG is told by its title, its groups' labels, and a table", () => {
  const svg = drawSvg(map);
  assert.match(svg, /<svg [^>]*role="group" aria-labelledby="title" aria-describedby="table">/);
  assert.match(svg, /<title id="title">Networks of host bookworm: 4 containers on 2 networks<\/title>/);
  assert.match(
    svg,
    /<g role="group" tabindex="0" aria-label="network shop: bridge br-0123456789ab, 2 containers">/,
  );
  assert.match(svg, /<g role="img" aria-label="db, dead: its namespace is gone, eth0 10.5.0.3\/24">/);
  assert.match(
    svg,
    /^web \| up \| shop \| eth0 \| 10.5.0.2\/24, fd00:5::2\/64 \| 8080:8080\/tcp by nftables, 7000-7001:7000-7001\/tcp by relay \| masquerade, behind the host&#39;s addresses$/m,
  );
});

test("an SVG's texts stay inside of it, however many there are", () => {
  const long = container("x".repeat(200), ["y".repeat(200), "eth0"]);
  const named = { ...masked, name: "y".repeat(200), subnets: [] };
  const all = [crowd(3), crowd(300), { ...map, networks: [named], containers: [long], ports: [], ways: [] }];
  for (const one of all) {
    const svg = drawSvg(one);
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
    assert.equal(svg.match(/<g role="img"/g)!.length, one.containers.length);
    for (const [, x, y, text] of svg.matchAll(/<text [^>]*x="([\d.]+)" y="([\d.]+)">([^<]*)</g)) {
      assert.ok(Number(x) + text!.length * 7.3 < width! && Number(y) < height!, text);
    }
    assert.ok(width! < 1300);
  }
});

test("a page has landmarks, links to networks, a filter and a table", () => {
  const page = drawHtml(map);
  assert.match(page, /<html lang="en">/);
  assert.match(page, /<a class="skip" href="#table">/);
  assert.match(page, /<nav aria-label="Networks"><ul><li><a href="#n0">shop<\/a><\/li>/);
  assert.match(page, /<section id="n0" tabindex="-1" aria-labelledby="h0"><h2 id="h0">shop<\/h2>/);
  assert.match(page, /<label>Filter containers <input type="search"/);
  assert.match(page, /<th scope="row">2adb0{60}<\/th><td>up<\/td><td>backup<\/td><td>eth0<\/td>/);
  assert.equal(page.match(/<th scope="col">/g)!.length, 7);
  assert.equal(drawHtml(crowd(300)).match(/<li><p class="name">app-/g)!.length, 300);
});

test("lines are broken at blanks, and words that are too long anywhere", () => {
  assert.deepEqual(wrapText("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrapText("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
  assert.deepEqual(wrapText("", 3), [""]);
});
