import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOfReverse, decide, subnetsOf } from "./decide.ts";
import { formatMember, type Member, parseMember } from "./member.ts";
import { type Query, types } from "./packet.ts";
import { type Zone, zoneOf } from "./zone.ts";

function member(addresses: readonly string[], names: readonly string[], more: Partial<Member> = {}): Member {
  return { addresses, names, listen: ["10.5.0.1/24", "fd00:5::1/64"], internal: false, servers: [], ...more };
}

const long = "0123456789ab".padEnd(64, "c");
const shop = zoneOf("shop", [
  ["web", member(["10.5.0.2", "fd00:5::2"], ["web", "www", "api", "db"])],
  ["db", member(["10.5.0.3"], ["db", "api", "_sql", "Example.org"])],
  [long, member(["10.5.0.4"], [long, long.slice(0, 12)])],
]);
const back = zoneOf("back.end", [[
  "db",
  member(["10.6.0.3"], ["db", "api"], { listen: ["10.6.0.1/24"], internal: true }),
]]);

/** What is said: the response code, with the records' data; or "forward". */
function ask(
  name: string,
  type: keyof typeof types | number,
  zones: readonly Zone[] = [shop, back],
  first = 0,
): string {
  const query = { name, type: typeof type === "number" ? type : types[type], isInternet: true } as Query;
  const isOurs = subnetsOf([...shop.subnets, ...back.subnets]);
  const isThere = ({ link }: { link?: string | undefined }) => link !== "gone";
  const decision = decide(query, { zones, isOurs, isThere, choose: () => first });
  if (decision === "forward") return decision;
  return [decision.rcode, ...decision.answers.map(({ type, data }) => `${type} ${data}`)].join(" ");
}

test("a name has its addresses of the family that is asked for, and is there without any of it", () => {
  assert.equal(ask("web", "A"), "0 A 10.5.0.2");
  assert.equal(ask("web", "AAAA"), "0 AAAA fd00:5::2");
  assert.equal(ask("_sql", "AAAA"), "0");
  assert.equal(ask("web", 16), "0");
  assert.equal(ask("web", 65), "0");
  assert.equal(ask("web", "ANY"), "0 A 10.5.0.2 AAAA fd00:5::2");
  assert.equal(ask("example.org", "A"), "0 A 10.5.0.3");
  assert.equal(ask("www.example.org", "A"), "forward");
  assert.equal(ask(long, "A"), "0 A 10.5.0.4");
  assert.equal(ask("0123456789ab", "A"), "0 A 10.5.0.4");
  assert.equal(ask("localhost", "A", []), "0 A 127.0.0.1");
});

test("an alias has all its addresses, from any of them on; an id is its container's alone", () => {
  assert.equal(ask("api", "A"), "0 A 10.5.0.2 A 10.5.0.3");
  assert.equal(ask("api", "A", [shop], 1), "0 A 10.5.0.3 A 10.5.0.2");
  assert.equal(ask("db", "A", [shop]), "0 A 10.5.0.3");
});

test("a container whose namespace is gone has no names, and who has its address and its names now has them", () => {
  const dead = { link: "gone" };
  const zone = zoneOf("shop", [
    ["a", member(["10.5.0.2"], ["a", "db", "api"], dead)],
    ["api", member(["10.5.0.3"], ["api"], dead)],
    ["b", member(["10.5.0.2", "10.5.0.4"], ["b", "api"], { link: "veth1" })],
    ["c", member(["10.5.0.4"], ["c"], dead)],
  ]);
  for (const name of ["a", "db", "c", "a.shop", "3.0.5.10.in-addr.arpa"]) {
    assert.equal(ask(name, "ANY", [zone]), "3", name);
  }
  assert.equal(ask("api", "A", [zone]), "0 A 10.5.0.2 A 10.5.0.4");
  assert.equal(ask("db", "A", [zone, shop]), "0 A 10.5.0.3");
  assert.equal(ask("2.0.5.10.in-addr.arpa", "PTR", [zone]), "0 PTR b.shop");
  assert.equal(ask("4.0.5.10.in-addr.arpa", "PTR", [zone]), "0 PTR b.shop");
});

test("the network that is asked by comes first, and NAME.NETWORK chooses", () => {
  assert.equal(ask("api", "A", [back, shop]), "0 A 10.6.0.3");
  assert.equal(ask("api.back.end", "A"), "0 A 10.6.0.3");
  assert.equal(ask("web", "A", [back, shop]), "0 A 10.5.0.2");
  assert.equal(ask("web", "A", [back]), "3");
});

test("neither a name without a dot nor one of a network leaves; the zones of the world do", () => {
  assert.equal(ask("gone", "A"), "3");
  assert.equal(ask("gone", 33), "3");
  assert.equal(ask("gone.shop", "A"), "3");
  assert.equal(ask("x.gone.shop", 16), "3");
  assert.equal(ask("com", "DNSKEY"), "forward");
  assert.equal(ask("", "NS"), "forward");
  assert.equal(ask("example.com", "A"), "forward");
  assert.equal(ask("shop.example.com", "A"), "forward");
});

test("an address is its container's, one of our subnets is no container's, and others are the world's", () => {
  assert.equal(ask("2.0.5.10.in-addr.arpa", "PTR"), "0 PTR web.shop");
  assert.equal(ask("4.0.5.10.in-addr.arpa", "PTR"), "0 PTR 0123456789ab.shop");
  assert.equal(ask("2.0.5.10.in-addr.arpa", "A"), "0");
  assert.equal(ask("1.0.5.10.in-addr.arpa", "PTR"), "3");
  assert.equal(ask("3.0.6.10.in-addr.arpa", "PTR", [shop]), "3");
  assert.equal(ask("1.2.0.192.in-addr.arpa", "PTR"), "forward");
  const v6 = `2.${"0.".repeat(19)}5.0.0.0.0.0.d.f.ip6.arpa`;
  assert.equal(addressOfReverse(`2.${"0.".repeat(19)}5.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa`), "fd00:0:5::2");
  assert.equal(addressOfReverse(v6), undefined);
  assert.equal(addressOfReverse("300.1.1.1.in-addr.arpa"), undefined);
});

test("a member's file says what a resolver needs; hosts files' lines are of another driver", () => {
  const written = member(["10.5.0.2", "fd00:5::2"], ["web", "api"], {
    internal: true,
    servers: ["192.0.2.53"],
    link: "veth1",
  });
  assert.deepEqual(parseMember(formatMember(written)), written);
  assert.equal(parseMember("10.5.0.2 web api"), undefined);
  assert.equal(parseMember(""), undefined);
  const odd = parseMember('# {"listen":["x",7,"10.5.0.1/99"],"servers":"a"}\nnowhere web\n10.5.0.9 web');
  assert.deepEqual(odd, member(["10.5.0.9"], ["web"], { listen: [], link: undefined }));
  assert.deepEqual(parseMember("# {")?.addresses, []);
});
