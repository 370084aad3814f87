/** Claims of addresses, where nothing else keeps one address from two containers. */
import { ownNamespace } from "../../engine/process.ts";
import { undoClaim } from "../../engine/undo.ts";
import type { Parsed } from "../../engine/chain.ts";
import { addressOf } from "../../net/address.ts";
import { parseMac } from "../../net/names.ts";
import type { HostState } from "../../plan/host_state.ts";
import { type Claim, claim } from "../../plan/step.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { Lease } from "../../drivers/plugin.ts";
import type { Context } from "./call.ts";
import type { ParsedMain } from "./remote.ts";

/**
 * The IPAM type reserves nothing, and links of other containers are on the same link of the host's. The claims are made
 * with the other steps, after the record: a process that is killed leaves none without a record. Each has a directory of
 * its own, so that what such a process has left there is found without listing other addresses.
 */
export function addressClaims(
  context: Context,
  { plugin, conf, ipam }: ParsedMain,
  { ips }: Lease,
  seen: HostState,
  before: Result | undefined,
): readonly Claim[] {
  const link = ipam && "unreserved" in ipam.plugin ? plugin.sharedLink?.(conf, seen, before) : undefined;
  if (link === undefined) return [];
  const place = ownNamespace(context.world);
  return ips.map(({ address }) => claimOf(context, `${place} ${link} ${addressOf(address)}`));
}

function claimOf({ state, at: { containerId, network, ifname } }: Context, name: string): Claim {
  return claim(`${state}/networks/.links/${name}/owner`, `${containerId} ${network} ${ifname}`);
}

/** Of two that ask for one MAC address on a network at the same moment, neither is on record yet. */
export function macClaims(context: Context, { plugin }: Parsed): readonly Claim[] {
  const { args, network } = context.at;
  const mac = "readsArgs" in plugin ? parseMac(args.get("MAC") ?? "") : undefined;
  return mac === undefined ? [] : [claimOf(context, `${ownNamespace(context.world)} ${network} ${mac}`)];
}

/** Gives back what an attachment has claimed, where no record tells it. */
export function releaseClaims(context: Context): void {
  const { world, state } = context;
  for (const name of world.list(`${state}/networks/.links`)) undoClaim(world, claimOf(context, name));
}
