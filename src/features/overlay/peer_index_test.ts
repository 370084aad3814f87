import assert from "node:assert/strict";
import { test } from "node:test";
import { claimValue } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { parseHost, parseNetwork } from "./keys.ts";
import { changePeers, indexOf, type PeerIndex } from "./peer_index.ts";
import { noEntries, type PeerEntries, peerSteps, wantedEntries } from "./peers.ts";

const network = parseNetwork("a", '{"version":1,"vni":7,"subnets":["10.9.0.0/28","fd00:9::/64"]}');
const names = { bridge: "ov0", vxlan: "vx0" };
const host = (underlay: string) =>
  parseHost("h", JSON.stringify({ version: 1, underlay, mtu: 1500, port: 4789, instance: "i" }));
const hosts = new Map([
  ["h1", host("192.0.2.1")],
  ["h2", host("192.0.2.2")],
  ["h3", host("192.0.2.3")],
  ["h6", host("2001:db8::6")],
]);

/** Numbers below a limit, the same for each seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

function sorted({ vteps, forwarded, neighbours }: PeerEntries): unknown {
  return [[...vteps].toSorted(), [...forwarded.keys()].toSorted(), [...neighbours].toSorted()];
}

function claim(owner: string, host: string, addresses: readonly string[]): KeyValue {
  const value = claimValue({ host, id: owner, ifname: "eth0" }, addresses);
  return { key: "", value, created: "1", modified: "1" };
}

test("claims that change, come and go are in the tables as if all had been looked at", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const pick = numbers(seed);
    const claims = new Map<string, KeyValue>();
    let index: PeerIndex = indexOf(claims, wantedEntries(network, claims, hosts, "h1"));
    for (let round = 0; round < 40; round++) {
      const changed = new Set<string>();
      for (let i = pick(4); i >= 0; i--) {
        // An interface has an address of each family, or one; sometimes it is another's, or no claim.
        const number = pick(8) + 2;
        const addresses = [`10.9.0.${number}`, `fd00:9::${number}`].slice(pick(2), 1 + pick(2));
        const entry = claim(`c${pick(3)}`, ["h1", "h2", "h3", "h6", "dead"][pick(5)]!, [
          ...addresses,
          `10.9.0.${pick(8) + 2}`,
        ]);
        for (const address of addresses) {
          if (pick(3) === 0) claims.delete(address);
          else claims.set(address, { ...entry, ...(pick(9) === 0 ? { value: "{" } : {}) });
          changed.add(address);
        }
      }
      const { now, wanted, hosts: members } = changePeers(index, changed, {
        ...{ network, claims, hosts, own: "h1" },
      });
      const whole = wantedEntries(network, claims, hosts, "h1");
      assert.deepEqual(sorted(index.entries), sorted(whole), `seed ${seed}, round ${round}`);
      assert.deepEqual([...members].toSorted(), [...whole.hosts].toSorted());
      // Nothing is done that need not be.
      if (JSON.stringify(sorted(now)) === JSON.stringify(sorted(wanted))) {
        assert.deepEqual(peerSteps(now, wanted, names), []);
      }
      if (pick(10) === 0) index = indexOf(claims, whole);
    }
  }
});

test("a change is looked at by itself", () => {
  const address = (number: number) => `10.9.0.${number}`;
  const claims = new Map(
    [2, 3, 4, 5].map((number) => [address(number), claim(`c${number}`, "h2", [address(number)])]),
  );
  const index = indexOf(claims, wantedEntries(network, claims, hosts, "h1"));
  claims.delete(address(3));
  const { now, wanted } = changePeers(index, new Set([address(3)]), { network, claims, hosts, own: "h1" });
  assert.equal(now.neighbours.size, 1);
  assert.deepEqual(sorted(wanted), sorted(noEntries));
  assert.equal(index.entries.neighbours.size, 3);
});
