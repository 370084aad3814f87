import { type Fields, fields, parseJson } from "./fields.ts";

/** An attachment in libcni's cache (api.go, cachedInfo). Either libcni or ocinet can remove what the other attached. */
export interface CacheEntry extends CacheName {
  readonly netns?: string;
  /** The text of the network's file; "" if there is none. */
  readonly config: string;
  readonly cniArgs: readonly (readonly [string, string])[];
  readonly capabilityArgs: Readonly<Record<string, unknown>>;
  /** The result, of any version. */
  readonly result: unknown;
}

/** The key of an entry. */
export interface CacheName {
  readonly containerId: string;
  readonly ifName: string;
  readonly networkName: string;
}

const kind = "cniCacheV1";

/** The name of an entry's file in the cache's `results` directory. */
export function cacheFile({ networkName, containerId, ifName }: CacheName): string {
  return `${networkName}-${containerId}-${ifName}`;
}

/** An entry as libcni writes it: the configuration in base64, empty fields left out. */
export function formatCache(entry: CacheEntry): string {
  const { containerId, config, ifName, networkName, netns, cniArgs, capabilityArgs, result } = entry;
  return JSON.stringify({
    ...{ kind, containerId, config: encode(config), ifName, networkName },
    ...(netns ? { netns } : {}),
    ...(cniArgs.length > 0 ? { cniArgs } : {}),
    ...(Object.keys(capabilityArgs).length > 0 ? { capabilityArgs } : {}),
    result,
  });
}

/**
 * Reads an entry. Old versions wrote only the result; the file's name gives the rest.
 * @param where names the file in errors
 * @returns undefined for a file of another kind
 * @throws CniError for text that is not JSON, and for a field of the wrong type
 */
export function parseCache(
  text: string,
  name?: CacheName,
  where = "cache file",
): CacheEntry | undefined {
  const json = parseJson(text, where);
  const entry = fields(json, where);
  if (!entry.has("kind") && name) {
    return { ...name, config: "", cniArgs: [], capabilityArgs: {}, result: json };
  }
  if (entry.string("kind") !== kind) return undefined;
  const netns = entry.string("netns");
  return {
    containerId: entry.string("containerId") ?? "",
    ifName: entry.string("ifName") ?? "",
    networkName: entry.string("networkName") ?? "",
    ...(netns === undefined ? {} : { netns }),
    config: decode(entry.string("config") ?? ""),
    cniArgs: readArgs(entry),
    capabilityArgs: { ...entry.raw("capabilityArgs") as Record<string, unknown> | undefined },
    result: entry.raw("result"),
  };
}

function readArgs(entry: Fields): CacheEntry["cniArgs"] {
  return (entry.list("cniArgs") ?? []).filter((pair): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((word) => typeof word === "string")
  );
}

function encode(text: string): string {
  // Byte by byte: a long file has more bytes than a function can have arguments.
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

function decode(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
}
