import type { Lease } from "../../drivers/plugin.ts";
import type { Parsed } from "../../engine/chain.ts";
import type { Step } from "../../plan/step.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import { accepted, type Context, lookFor, parse, previousResult } from "./call.ts";

/**
 * Plans an ADD that gives the container the addresses it already has.
 * @param made the result of all plugins
 * @param before the result of earlier plugins, if a main plugin has any
 * @throws CniError if ADD would fail
 */
export async function planAgain(
  context: Context,
  parsed: Parsed,
  made: Result,
  before = accepted(() => previousResult(context)),
): Promise<{ readonly steps: readonly Step[]; readonly result: Result }> {
  const { at } = context;
  const seen = await lookFor(context, parsed, made);
  if (parsed.role === "meta") return parsed.plugin.plan(parsed.conf, at, made, seen);
  const link = parsed.plugin.link(parsed.conf, at, seen, before);
  const ips = made.ips.filter(({ interface: i }) =>
    i === undefined || made.interfaces[i]?.name === at.ifname
  );
  if (ips.length === 0) return link;
  const lease: Lease = { ips, routes: made.routes, dns: {}, claims: [] };
  const address = parsed.plugin.address(parsed.conf, at, lease, link.result, seen);
  return { steps: [...link.steps, ...address.steps], result: address.result };
}

/**
 * The steps of an ADD for an attachment that is being repaired; none if ADD would fail, or if the plugin moves an
 * existing link.
 */
export async function stepsForRepair(context: Context, made: Result): Promise<readonly Step[]> {
  try {
    const parsed = parse(context);
    if (parsed.role === "main" && parsed.plugin.keepsLink === true) return [];
    return (await planAgain(context, parsed, made, emptyResult)).steps;
  } catch {
    return [];
  }
}
