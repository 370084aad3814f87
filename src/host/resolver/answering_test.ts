import assert from "node:assert/strict";
import { test } from "node:test";
import { readQuery } from "../../wire/dns/packet.ts";
import { zoneOf } from "../../wire/dns/zone.ts";
import { answer, newResolver, setNetworks } from "./answering.ts";

const listen = ["10.5.0.1/24"];
const member = { names: ["web"], listen, internal: false, servers: [] };
const shop = zoneOf("shop", [
  ["web", { ...member, addresses: ["10.5.0.2"] }],
  ["own", { ...member, addresses: ["10.5.0.3"], names: ["own"], servers: ["10.5.0.1"] }],
]);
const inner = { ...shop, internal: true };

/** The question for a name's address. */
function ask(name: string): Uint8Array {
  const labels = name.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return Uint8Array.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

/** A resolver whose only server is itself, so that a question for the world is never sent. */
function resolver(zone = shop, exists = (_: string) => true) {
  const made = newResolver(
    {
      readAll: () => [zone],
      hasOthers: () => false,
      find: (_, address) => {
        const member = zone.members.get(address)?.[0];
        return member && { member, zones: [zone] };
      },
    },
    () => ["10.5.0.1"],
    exists,
  );
  setNetworks(made, [zone]);
  return made;
}

const asked = { bytes: ask("web"), from: "10.5.0.2", network: "shop", byConnection: false };
const rcode = (bytes: Uint8Array | undefined) => bytes && bytes[3]! & 15;

test("members are answered, and no others", async () => {
  assert.deepEqual([...(await answer(resolver(), asked))!.slice(-4)], [10, 5, 0, 2]);
  assert.equal(await answer(resolver(), { ...asked, from: "10.5.0.9" }), undefined);
  assert.equal(await answer(resolver(), { ...asked, bytes: Uint8Array.from([1, 2, 3]) }), undefined);
  assert.equal(rcode(await answer(resolver(), { ...asked, bytes: new Uint8Array(5000) })), 1);
});

test("what no server can be asked fails at once: from an internal network, of ourselves, and of too many", async () => {
  const world = { ...asked, bytes: ask("example.com") };
  for (const zone of [inner, shop]) assert.equal(rcode(await answer(resolver(zone), world)), 2);
  assert.equal(rcode(await answer(resolver(), { ...world, from: "10.5.0.3" })), 2);
  const busy = { ...resolver(), hostServers: () => ["192.0.2.53"] };
  busy.waiting.set("10.5.0.2", 256);
  assert.equal(rcode(await answer(busy, world)), 2);
  assert.equal(rcode(await answer(busy, asked)), 0);
  const all = { ...resolver(), hostServers: () => ["192.0.2.53"] };
  all.waiting.set("", 4096);
  assert.equal(rcode(await answer(all, world)), 2);
  assert.equal(all.waiting.get("10.5.0.2"), undefined);
});

test("a container whose link is gone has no name, and networks that change are looked at at once", async () => {
  const links = new Set(["vethweb"]);
  const zone = zoneOf("shop", [
    ["web", { ...member, addresses: ["10.5.0.2"], link: "vethweb" }],
    ["db", { ...member, addresses: ["10.5.0.3"], names: ["db"] }],
  ]);
  const made = resolver(zone, (link) => links.has(link));
  setNetworks(made, [zone]);
  const ask = () => answer(made, { ...asked, from: "10.5.0.3" });
  assert.equal(rcode(await ask()), 0);
  links.clear();
  assert.equal(rcode(await ask()), 0);
  setNetworks(made, [zone]);
  assert.equal(rcode(await ask()), 3);
});

test("malformed packets of a member never throw, and are never sent on", async () => {
  const made = resolver();
  let seed = 3;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const codes = new Set<number | undefined>();
  for (let i = 0; i < 3000; i++) {
    const bytes = [...ask(i % 2 ? "web.shop" : "example.com")];
    for (let n = random(4); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    bytes.length -= random(3) === 0 ? random(bytes.length) : 0;
    codes.add(
      rcode(await answer(made, { ...asked, bytes: Uint8Array.from(bytes), byConnection: i % 3 === 0 })),
    );
  }
  assert.deepEqual([...codes].sort(), [0, 1, 2, 3, 4, 5, undefined]);
  assert.ok(!("problem" in readQuery(ask("a"))));
});
