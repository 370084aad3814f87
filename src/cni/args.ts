import { CniError } from "./error.ts";

/** Reads CNI_ARGS: `K=V;K=V`. @throws CniError for a pair that is none, in the reference's words (types/args.go) */
export function parseArgs(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(";").filter((pair) => pair !== "").map((pair): [string, string] => {
    const [key, value, ...rest] = pair.split("=");
    if (!key || value === undefined || rest.length > 0) {
      throw new CniError("internal", `ARGS: invalid pair ${JSON.stringify(pair)}`);
    }
    return [key, value];
  });
  return new Map(pairs);
}

/** The keys that one or another of our own types reads. They are case-sensitive. */
const known = ["IgnoreUnknown", "IP", "GATEWAY", "MAC"];

/**
 * Refuses keys that none of our types reads, unless `IgnoreUnknown` is 1 or true: a misspelt `ip` would silently give
 * another address. @throws CniError in the reference's words (types/args.go)
 */
export function refuseUnknownArgs(args: ReadonlyMap<string, string>): void {
  const unknown = [...args].filter(([key]) => !known.includes(key)).map((pair) => pair.join("="));
  if (unknown.length === 0 || /^(1|true)$/i.test(args.get("IgnoreUnknown") ?? "")) return;
  throw new CniError(
    "internal",
    `ARGS: unknown args [${unknown.map((pair) => JSON.stringify(pair)).join(" ")}]`,
  );
}
