/** The value of `--net`: `host`, `none`, or a list of networks. */
export type Mode =
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  | { readonly kind: "contained"; readonly all: boolean; readonly networks: ReadonlyMap<string, string> };

/**
 * Reads every value of `--net`, as rkt does (common.go, NetList): names with optional arguments, separated by commas;
 * no name means `default`. `host`, `none` and networks exclude each other.
 * @returns for `contained`: the CNI_ARGS text of each network, "" where it has none
 * @throws Error in rkt's words
 */
export function parseNets(values: readonly string[]): Mode {
  const named = new Map<string, string>();
  for (const item of values.flatMap((value) => value.split(","))) {
    const [name, ...rest] = item.split(":");
    if (!name) throw new Error("Cannot read --net: netname must not be empty");
    // MAC and IPv6 addresses have colons of their own.
    if (rest.length > 1 && !rest[0]!.includes("=")) {
      throw new Error(
        `Cannot read --net: network "${name}" provided with invalid arguments: [${rest.slice(1).join(":")}]`,
      );
    }
    if (named.has(name)) throw new Error(`Cannot read --net: found duplicate netname "${name}"`);
    if (rest.length > 0 && ["all", "host", "none"].includes(name)) {
      throw new Error(`Cannot read --net: arguments are not supported by special netname "${name}"`);
    }
    named.set(name, rest.join(":"));
  }
  for (const kind of ["host", "none"] as const) {
    if (!named.has(kind)) continue;
    if (named.size > 1) throw new Error(`Cannot read --net: "${kind}" and other networks exclude each other`);
    return { kind };
  }
  const all = named.delete("all");
  if (named.size === 0 && !all) named.set("default", "");
  return { kind: "contained", all, networks: named };
}
