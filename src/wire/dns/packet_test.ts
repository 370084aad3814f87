import assert from "node:assert/strict";
import { test } from "node:test";
import { answersQuestion, type Query, rcodeOf, readQuery, writeAnswer, writeRefusal } from "./packet.ts";

/** A question as a client sends it. @param edns the size that it takes, or none */
function ask(name: string, type: number, { edns = 0, id = 0x1234 } = {}): Uint8Array {
  const labels = name.split(".").filter((label) => label !== "");
  return Uint8Array.from([
    ...[id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns > 0 ? 1 : 0],
    ...labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]),
    ...[0, type >> 8, type & 255, 0, 1],
    ...edns > 0 ? [0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0] : [],
  ]);
}

function query(...asked: Parameters<typeof ask>): Query {
  const read = readQuery(ask(...asked));
  assert.ok(!("problem" in read), JSON.stringify(read));
  return read;
}

test("a question is read, its name in lower case, and how long the answer may be", () => {
  const { name, type, longest, said, question, ...rest } = query("Db.Shop", 28);
  assert.deepEqual([name, type, longest, said], ["db.shop", 28, 512, 512]);
  assert.deepEqual(rest, { id: 0x1234, isInternet: true, recursionDesired: true, hasEdns: false });
  assert.equal(new TextDecoder().decode(question.slice(1, 3)), "Db");
  assert.deepEqual([query("a", 1, { edns: 4096 })].map(({ said, longest }) => [said, longest]), [[
    4096,
    1232,
  ]]);
  assert.equal(query("a", 1, { edns: 100 }).longest, 512);
  assert.equal(query("", 2).name, "");
});

test("what is no question is refused, and what is an answer is ignored", () => {
  const problem = (bytes: Uint8Array) =>
    "problem" in readQuery(bytes) && (readQuery(bytes) as { problem: string }).problem;
  const changed = (at: number, byte: number) => ask("db", 1).map((old, i) => i === at ? byte : old);
  assert.equal(problem(new Uint8Array(11)), "ignored");
  assert.equal(problem(changed(2, 0x81)), "ignored");
  assert.equal(problem(changed(2, 0x29)), "notimp");
  assert.equal(problem(changed(5, 2)), "formerr");
  assert.equal(problem(changed(12, 64)), "formerr");
  assert.equal(problem(changed(12, 0xc0)), "formerr");
  assert.equal(problem(ask("db", 1).slice(0, -1)), "formerr");
  assert.equal(problem(ask("abcdefgh.".repeat(29), 1)), "formerr");
  assert.equal(problem(changed(11, 1)), "formerr");
  assert.deepEqual([...writeRefusal({ problem: "formerr", id: 0x1234 })], [
    0x12,
    0x34,
    0x80,
    0x81,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
});

test("an answer repeats the question as it came, and its records may not be kept", () => {
  const asked = query("DB", 1);
  const bytes = writeAnswer(asked, { rcode: 0, answers: [{ type: "A", data: "10.5.0.2" }] }, 512);
  const records = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 5, 0, 2];
  assert.deepEqual([...bytes], [
    0x12,
    0x34,
    0x85,
    0x80,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    0,
    ...asked.question,
    ...records,
  ]);
  const empty = writeAnswer(query("db", 28, { edns: 1232 }), { rcode: 3, answers: [] }, 1232);
  assert.deepEqual([rcodeOf(empty), [...empty.slice(-11)]], [3, [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]]);
  const named = writeAnswer(query("x", 12), { rcode: 0, answers: [{ type: "PTR", data: "db.shop" }] }, 512);
  assert.deepEqual([...named.slice(-11)], [0, 9, 2, 100, 98, 4, ...new TextEncoder().encode("shop"), 0]);
});

test("forty addresses are cut to what the asker takes, which says so", () => {
  const answers = Array.from({ length: 40 }, (_, i) => ({ type: "A", data: `10.5.0.${i}` }) as const);
  const counts = [0, 512, 1232].map((edns) => {
    const asked = query("web", 1, { edns });
    const bytes = writeAnswer(asked, { rcode: 0, answers }, asked.longest);
    assert.ok(bytes.length <= asked.longest);
    return [bytes[7], (bytes[2]! & 2) > 0];
  });
  assert.deepEqual(counts, [[30, true], [30, true], [40, false]]);
  assert.equal(writeAnswer(query("web", 1), { rcode: 0, answers }, 65_535)[7], 40);
});

test("an answer is believed to the question that was asked alone", () => {
  const asked = query("Db.example", 1);
  const of = (bytes: Uint8Array) => bytes.map((byte, i) => i === 2 ? 0x81 : byte);
  assert.equal(answersQuestion(of(ask("dB.example", 1)), asked.question), true);
  assert.equal(answersQuestion(ask("db.example", 1), asked.question), false);
  assert.equal(answersQuestion(of(ask("db.example", 28)), asked.question), false);
  assert.equal(answersQuestion(of(ask("db.examplf", 1)), asked.question), false);
  assert.equal(
    answersQuestion(Uint8Array.from([0, 0, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]), asked.question),
    true,
  );
  assert.equal(
    answersQuestion(Uint8Array.from([0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0]), asked.question),
    false,
  );
});

test("malformed packets are refused or ignored, and never throw", () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const from = [
    ask("db.shop", 1),
    ask("a.b.c.d.example", 28, { edns: 1232 }),
    ask("1.0.5.10.in-addr.arpa", 12),
  ];
  const kinds = new Set<string>();
  for (let i = 0; i < 3000; i++) {
    const bytes = [...from[i % from.length]!];
    for (let n = random(6); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    if (random(4) === 0) bytes.length = random(bytes.length);
    if (random(4) === 0) bytes.push(...Array.from({ length: random(64) }, () => random(256)));
    const read = readQuery(Uint8Array.from(bytes));
    kinds.add("problem" in read ? read.problem : "query");
    if (!("problem" in read)) {
      const answer = writeAnswer(
        read,
        { rcode: 0, answers: [{ type: "A", data: "10.5.0.2" }] },
        read.longest,
      );
      assert.ok(answer.length <= read.longest);
      assert.ok(answersQuestion(answer, read.question), bytes.join());
    }
  }
  assert.deepEqual([...kinds].sort(), ["formerr", "ignored", "notimp", "query"]);
});
