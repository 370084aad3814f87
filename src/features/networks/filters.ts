import { type Network, scopeOf } from "./catalog.ts";

/** A network, with what its filters may ask of its containers. */
export interface Candidate {
  readonly network: Network;
  readonly isUsed: boolean;
}

type Test = (candidate: Candidate) => boolean;

/**
 * Reads `--filter KEY=VALUE` as Docker does: of one key one is enough, of labels all are needed, and all keys are.
 * @param known keys that may be used
 * @param now milliseconds since 1970
 * @throws Error naming a filter that cannot be read
 */
export function parseFilters(values: readonly string[], known: readonly string[], now: () => number): Test {
  const byKey = new Map<string, Test[]>();
  for (const value of values) {
    const at = value.indexOf("=");
    if (at <= 0) {
      throw new Error(`invalid argument ${JSON.stringify(value)} for --filter: it is not NAME=VALUE`);
    }
    const isNot = value[at - 1] === "!";
    const key = value.slice(0, at);
    if (!known.includes(key)) {
      throw new Error(`invalid filter '${key}'; there are: ${known.join(", ")}`);
    }
    byKey.set(key, [...byKey.get(key) ?? [], test(key, value.slice(at + 1), isNot, now)]);
  }
  return (candidate) =>
    [...byKey].every(([key, tests]) =>
      key.startsWith("label") ? tests.every((one) => one(candidate)) : tests.some((one) => one(candidate))
    );
}

function test(key: string, value: string, isNot: boolean, now: () => number): Test {
  switch (key) {
    case "name":
      return matching(value, ({ name }) => name);
    case "id":
      return matching(value, ({ id }) => id);
    case "driver":
      return ({ network }) => network.driver === value;
    case "scope":
      return ({ network }) => scopeOf(network) === value;
    case "type":
      return ofType(value);
    case "dangling":
      return dangling(value);
    case "until":
      return until(value, now());
    default:
      return (candidate) => hasLabel(candidate.network, value) !== isNot;
  }
}

/** Equal, or found somewhere as a regular expression; what is none matches nothing. */
function matching(value: string, of: (network: Network) => string): Test {
  let pattern: RegExp | undefined;
  try {
    pattern = new RegExp(value);
  } catch { /* It may be equal. */ }
  return ({ network }) => of(network) === value || (pattern?.test(of(network)) ?? false);
}

function ofType(value: string): Test {
  if (value !== "custom" && value !== "builtin") {
    throw new Error(`invalid filter 'type=${value}': it is neither custom nor builtin`);
  }
  return ({ network }) => network.predefined === (value === "builtin");
}

function dangling(value: string): Test {
  const wanted = { 1: true, true: true, 0: false, false: false }[value.toLowerCase()];
  if (wanted === undefined) {
    throw new Error(`invalid filter 'dangling=${value}': it is neither true nor false`);
  }
  return ({ network, isUsed }) => (!network.predefined && !isUsed) === wanted;
}

function hasLabel({ labels }: Network, value: string): boolean {
  const at = value.indexOf("=");
  const [key, wanted] = at < 0 ? [value, undefined] : [value.slice(0, at), value.slice(at + 1)];
  return Object.hasOwn(labels, key) && (wanted === undefined || labels[key] === wanted);
}

/** A time, in seconds since 1970 or as RFC 3339 has it, or how long ago: 10m, 1h30m. */
function until(value: string, now: number): Test {
  const ago = [...value.matchAll(/([0-9.]+)(h|m|s)/g)];
  const units = { h: 3_600_000, m: 60_000, s: 1000 };
  const isAgo = /^([0-9.]+(h|m|s))+$/.test(value);
  const time = isAgo
    ? now - ago.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit as "h"], 0)
    : /^[0-9]+(\.[0-9]+)?$/.test(value)
    ? Number(value) * 1000
    : Date.parse(value);
  if (Number.isNaN(time)) {
    throw new Error(`invalid filter 'until=${value}': it is neither a time nor how long ago`);
  }
  return ({ network }) => network.created !== "" && Date.parse(network.created) <= time;
}
