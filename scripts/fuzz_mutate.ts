/** Random changes to values, texts and words, the same for the same seed. */

/** Numbers from 0 to less than 1. */
export type Random = () => number;

/** A generator for a seed (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

/** Letters that mean something to a shell, `ip`, `nft`, JSON, a terminal, or a path. */
const letters = [
  ..." \t\n\r;{}()[]<>\"'`$&|#!*?\\~^=,:@%/-+",
  ...[
    "\0",
    "\u001b[31m",
    "\u007f",
    "\u009b",
    "\u00e9",
    "\u202e",
    "\ud800",
    "\ufffd",
    "/../",
    "$(id)",
    "\n\n",
  ],
];

/** What no line for a tool may hold: letters that mean something to it, between two signs of ours. */
export const smuggled = /ZQ(?![-+.:/_]QZ)[^A-Za-z0-9]+QZ/;

function marked(random: Random): string {
  return `ZQ${pick(random, letters)}QZ`;
}

const words = [
  ...["", " ", ".", "..", "/", "-", "--", "-ZQ", "--help", "lo", "all", "default", "eth0", "none", "host"],
  ...["__proto__", "constructor", "toString", "hasOwnProperty", "null", "true"],
  ...["../../etc/passwd", "/proc/self/environ", "x".repeat(16), "x".repeat(300), "x".repeat(20000)],
  ...["0", "-1", "1e3", "0x10", "010", "65536", "4294967296", "9007199254740993", "1.5", "\u0661"],
  ...["10.0.0.0/33", "10.1.2.3", "10.1.2.3/0", "0.0.0.0/0", "::/0", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"],
  ...["1.2.3", "256.1.1.1", "fd00::/129", "255.255.255.255/32", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"],
  ...["1-65535", "80:1-65535", "1-65535:1-65535/udp", "[::1]:80:80", ":::", "80:80/sctp", "@", "=", ";", ","],
];

export function anyText(random: Random): string {
  return random() < 0.5 ? marked(random) : pick(random, words);
}

function deep(levels: number): unknown {
  let value: unknown = [];
  for (let i = 0; i < levels; i++) value = i % 2 ? [value] : { x: value };
  return value;
}

export function anyValue(random: Random): unknown {
  const others: readonly unknown[] = [
    ...[null, true, false, 0, -1, 1, 1.5, 1e308, -0, 65536, 2 ** 32, 2 ** 53, [], {}, [[]], [null], [{}]],
    ...[{ __proto__: null }, { constructor: 1 }, { toString: 1 }, { name: "x" }, [1, "a", null]],
  ];
  const kind = random();
  if (kind < 0.5) return anyText(random);
  if (kind < 0.95) return pick(random, others);
  if (kind < 0.98) return Array.from({ length: 5000 }, () => "10.0.0.1");
  return deep(kind < 0.99 ? 50 : 3000);
}

type Json = Record<string, unknown> | unknown[];

/** A copy of a JSON value with one to three changes somewhere in it. */
export function mutated(value: unknown, random: Random): unknown {
  let copy: unknown = JSON.parse(JSON.stringify(value));
  for (let i = 1 + Math.floor(random() * 3); i > 0; i--) copy = change(copy, random);
  return copy;
}

function change(value: unknown, random: Random): unknown {
  const places = placesIn(value);
  if (places.length === 0) return anyValue(random);
  const [holder, key] = pick(random, places);
  const kind = random();
  const at = holder as Record<string, unknown>;
  if (kind < 0.6) at[key] = anyValue(random);
  else if (kind < 0.7) delete at[key];
  else if (kind < 0.8) at[pick(random, [key.toUpperCase(), anyText(random), "__proto__"])] = at[key];
  else if (kind < 0.9) at[key] = [at[key], at[key]];
  else if (typeof at[key] === "string") at[key] = mutatedText(at[key], random);
  else at[key] = { [key]: at[key] };
  return value;
}

/** Every value inside, by what holds it and its key; of deep ones, the upper. */
function placesIn(value: unknown): readonly (readonly [Json, string])[] {
  const places: [Json, string][] = [];
  const holders = [value];
  for (const holder of holders) {
    if (typeof holder !== "object" || holder === null || places.length > 1000) continue;
    for (const [key, inner] of Object.entries(holder)) {
      places.push([holder as Json, key]);
      holders.push(inner);
    }
  }
  return places;
}

/** A text with a letter, a word or a piece of it changed. */
export function mutatedText(text: string, random: Random): string {
  const [from, to] = [random(), random()].map((at) => Math.floor(at * (text.length + 1))).sort((a, b) =>
    a - b
  );
  const [before, piece, after] = [text.slice(0, from), text.slice(from, to), text.slice(to)];
  switch (Math.floor(random() * 5)) {
    case 0:
      return before + after;
    case 1:
      return text.slice(0, to);
    case 2:
      return before + piece + piece + after;
    case 3:
      return before + anyText(random) + piece + after;
    default:
      return before + pick(random, letters) + piece + after;
  }
}

/** JSON text of a changed value, or a changed JSON text. */
export function mutatedJson(value: unknown, random: Random): string {
  return random() < 0.85
    ? JSON.stringify(mutated(value, random)) ?? ""
    : mutatedText(JSON.stringify(value), random);
}

/** A list of words with one to three changes. The kernel passes on none with a NUL. */
export function mutatedWords(list: readonly string[], random: Random): readonly string[] {
  const copy = [...list];
  for (let i = 1 + Math.floor(random() * 3); i > 0; i--) {
    const at = Math.floor(random() * (copy.length + 1));
    const kind = random();
    if (kind < 0.4 && at < copy.length) copy[at] = mutatedText(copy[at]!, random);
    else if (kind < 0.7 && at < copy.length) copy[at] = anyText(random);
    else if (kind < 0.85) copy.splice(at, 1);
    else copy.splice(at, 0, anyText(random));
  }
  return copy.map((word) => word.replaceAll("\0", ""));
}
