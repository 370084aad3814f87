import { CniError } from "./error.ts";
import { jsonProblem } from "../../net/json_problem.ts";

/**
 * A JSON object, read as Go's encoding/json does, because clients rely on that: keys match without regard to case, the
 * last of two equal keys wins, null and unknown keys are ignored. An empty string counts as unset.
 */
export interface Fields {
  has(key: string): boolean;
  raw(key: string): unknown;
  string(key: string): string | undefined;
  /** An absolute path. A relative one is refused: it would depend on the caller's working directory. */
  path(key: string): string | undefined;
  boolean(key: string): boolean | undefined;
  integer(key: string, range?: { min?: number; max?: number }): number | undefined;
  strings(key: string): readonly string[] | undefined;
  object(key: string): Fields | undefined;
  list(key: string): readonly unknown[] | undefined;
  objects(key: string): readonly Fields[] | undefined;
}

/**
 * Reads a JSON object; `where` names it in errors, e.g. `ipam`.
 * @throws CniError code 6 if it is not an object; the readers throw it for a value of the wrong type
 */
export function fields(json: unknown, where = "network configuration"): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new CniError("decode", `Cannot read ${where}: it is ${kindOf(json)}, not an object`);
  }
  const values = new Map<string, unknown>();
  for (const [key, value] of Object.entries(json)) {
    if (value !== null) values.set(key.toLowerCase(), value);
  }
  const get = (key: string): unknown => values.get(key.toLowerCase());
  const withoutNul = <T>(value: T, key: string): T => {
    if (![value].flat().some((part) => typeof part === "string" && part.includes("\0"))) return value;
    throw new CniError("decode", `Cannot read "${key}" of ${where}: it has a NUL character in it`);
  };
  const read = <T>(key: string, wanted: string, accept: (value: unknown) => value is T): T | undefined => {
    const value = get(key);
    if (value === undefined || accept(value)) return withoutNul(value, key);
    throw new CniError(
      "decode",
      `Cannot read "${key}" of ${where}: ${short(value)} is ${kindOf(value)}, not ${wanted}`,
    );
  };
  const string = (key: string) => read(key, "a string", isString) || undefined;
  return {
    has: (key) => get(key) !== undefined,
    raw: get,
    string,
    path: (key) => {
      const path = string(key);
      if (path === undefined || path.startsWith("/")) return path;
      throw new CniError(
        "invalidConfig",
        `Cannot use ${key} ${JSON.stringify(path)}: it is not an absolute path`,
      );
    },
    boolean: (key) => read(key, "true or false", (value) => typeof value === "boolean"),
    integer: (key, { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = {}) => {
      const value = read(key, "a whole number", isInteger);
      if (value !== undefined && (value < min || value > max)) {
        throw new CniError(
          "decode",
          `Cannot read "${key}" of ${where}: ${value} is outside ${min} to ${max}`,
        );
      }
      return value;
    },
    strings: (key) => read(key, "a list of strings", isStrings),
    object: (key) => get(key) === undefined ? undefined : fields(get(key), `"${key}" of ${where}`),
    list: (key) => read(key, "a list", isList),
    objects: (key) =>
      read(key, "a list", isList)?.map((value, i) => fields(value, `"${key}" ${i + 1} of ${where}`)),
  };
}

/** Parses a JSON text. @throws CniError code 6 naming `where` if it is not JSON */
export function parseJson(text: string, where = "network configuration"): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CniError("decode", `Cannot read ${where}: it is not JSON`, jsonProblem(text));
  }
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isString);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return value === undefined ? "missing" : `${/^[aeiou]/.test(typeof value) ? "an" : "a"} ${typeof value}`;
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
