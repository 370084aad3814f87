import { CniError } from "./error.ts";

/** Reads CNI_ARGS: `K=V;K=V`, each split at its first `=`. Text without a key or `=` is skipped. */
export function parseArgs(text: string): ReadonlyMap<string, string> {
  return new Map(
    pairsOf(text).filter(isPair).map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function pairsOf(text: string): readonly string[] {
  return text.split(";").filter((pair) => pair !== "");
}

function isPair(text: string): boolean {
  return text.indexOf("=") > 0;
}

/** Checks that each item is KEY=VALUE. @throws CniError in the reference's words (types/args.go) */
export function checkPairs(text: string): void {
  refusePair(badPair(text));
}

/** The first item that is not KEY=VALUE. */
export function badPair(text: string): string | undefined {
  return pairsOf(text).find((pair) => !isPair(pair));
}

function refusePair(pair: string | undefined): void {
  if (pair !== undefined) throw new CniError("internal", `ARGS: invalid pair ${JSON.stringify(pair)}`);
}

/** The keys that at least one of our types reads. They are case-sensitive. */
const known = ["IgnoreUnknown", "IP", "GATEWAY", "MAC"];

/**
 * Checks CNI_ARGS as types do that read it. Values with a `=` are refused, and keys that none of our types reads,
 * unless `IgnoreUnknown` is 1 or true. Otherwise a misspelt `ip` would silently give another address.
 * @throws CniError in the reference's words (types/args.go)
 */
export function checkArgs(text: string): void {
  const [pairs, ignore] = [pairsOf(text), parseArgs(text).get("IgnoreUnknown") ?? ""];
  refusePair(pairs.find((pair) => !isPair(pair) || pair.split("=").length > 2));
  const unknown = pairs.filter((pair) => !known.includes(pair.split("=")[0]!));
  if (unknown.length === 0 || /^(1|true)$/i.test(ignore)) return;
  throw new CniError(
    "internal",
    `ARGS: unknown args [${unknown.map((pair) => JSON.stringify(pair)).join(" ")}]`,
  );
}
