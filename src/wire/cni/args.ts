import { CniError } from "./error.ts";

/** Reads CNI_ARGS: `K=V;K=V`, each cut at its first `=`; what is no pair is passed over. */
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

/** @throws CniError for a pair that is none, in the reference's words (types/args.go) */
export function checkPairs(text: string): void {
  refusePair(pairsOf(text).find((pair) => !isPair(pair)));
}

function refusePair(pair: string | undefined): void {
  if (pair !== undefined) throw new CniError("internal", `ARGS: invalid pair ${JSON.stringify(pair)}`);
}

/** The keys that one or another of our own types reads. They are case-sensitive. */
const known = ["IgnoreUnknown", "IP", "GATEWAY", "MAC"];

/**
 * What a type that reads CNI_ARGS refuses of them: values with a `=`, and unless `IgnoreUnknown` is 1 or true, keys that
 * none of our types reads: a misspelt `ip` would silently give another address.
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
