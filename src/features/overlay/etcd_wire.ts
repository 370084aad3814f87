/**
 * The messages of etcd's v3 API as its JSON gateway has them: keys and values are base64, numbers of 64 bits are texts,
 * and fields that are zero are left out.
 */

/** An object of JSON. */
export type Json = Readonly<Record<string, unknown>>;

/** A key as etcd has it. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Revisions are texts. */
  readonly created: string;
  readonly modified: string;
}

/** What was under a prefix at a revision. */
export interface Listing {
  readonly revision: string;
  readonly keys: readonly KeyValue[];
}

/** A key that came or changed, or has gone, and then has no value. */
export interface Event {
  readonly key: string;
  readonly value?: KeyValue;
}

/** A condition on a key: it was made at that revision ("0": it is not there), was written last at that one, or has that value. */
export type Condition =
  | { readonly key: string; readonly created: string; readonly prefix?: true }
  | { readonly key: string; readonly modified: string }
  | { readonly key: string; readonly value: string };

/** A change of a key. */
export type Write =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly delete: string; readonly prefix?: true };

/** @throws Error for a line by which the watch is over; the connection may stay open all the same */
export function eventsIn(line: string): readonly Event[] {
  const json = JSON.parse(line) as Json;
  const result = json["result"] as Json | undefined;
  if (result === undefined || result["canceled"] === true) {
    throw new Error(`etcd ended it: ${line.slice(0, 200)}`);
  }
  return ((result["events"] ?? []) as readonly Json[]).map(({ type, kv }) => {
    const value = keyValue(kv as Json);
    return type === "DELETE" ? { key: value.key } : { key: value.key, value };
  });
}

/** A condition of a transaction. */
export function compareOf(condition: Condition): unknown {
  const key = encode(condition.key);
  if ("value" in condition) return { target: "VALUE", result: "EQUAL", key, value: encode(condition.value) };
  if ("modified" in condition) {
    return { target: "MOD", result: "EQUAL", key, mod_revision: condition.modified };
  }
  const range = condition.prefix ? { range_end: encode(endOf(condition.key)) } : {};
  return { target: "CREATE", result: "EQUAL", key, ...range, create_revision: condition.created };
}

/** A change of a transaction. */
export function requestOf(write: Write): unknown {
  if ("put" in write) {
    const lease = write.lease === undefined ? {} : { lease: write.lease };
    return { request_put: { key: encode(write.put), value: encode(write.value), ...lease } };
  }
  const range = write.prefix ? { range_end: encode(endOf(write.delete)) } : {};
  return { request_delete_range: { key: encode(write.delete), ...range } };
}

/** The keys of an answer. */
export function keysOf(answer: Json): readonly KeyValue[] {
  return ((answer["kvs"] ?? []) as readonly Json[]).map(keyValue);
}

function keyValue(kv: Json): KeyValue {
  return {
    key: decode(String(kv["key"] ?? "")),
    value: decode(String(kv["value"] ?? "")),
    created: String(kv["create_revision"] ?? "0"),
    modified: String(kv["mod_revision"] ?? "0"),
  };
}

/** The first key that does not begin with the prefix, which ends with "/". */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** A text in base64. */
export function encode(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function decode(text: string): string {
  const bytes = atob(text);
  // Most of it is ASCII, and there may be very much of it.
  if (/^[\x20-\x7e]*$/.test(bytes)) return bytes;
  return new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)));
}
