/** Which network's default route a container has. */
import { lengthOf } from "../../net/address.ts";
import type { Step } from "../../plan/step.ts";
import type { Result } from "../../wire/cni/result.ts";

/**
 * Of several default routes the first wins: the kernel would refuse the second, and no network is worth less for it.
 * One that leaves the main table, as sbr and vrf have it, is out of the way.
 * @param earlier results of the networks that are done by now; it may grow
 * @returns whether a step is to be done, to be asked of all steps of the networks in their order
 */
export function defaultRouteFilter(earlier: readonly Result[]): (step: Step) => boolean {
  const holders = new Map<string, string>();
  return (step) => {
    if (step.tool !== "ip" || step.on !== "container") return true;
    for (const { dst, table } of earlier.flatMap(({ routes }) => routes)) {
      if (table === undefined && lengthOf(dst) === 0 && !holders.has(dst)) holders.set(dst, "");
    }
    return isFirst(step, holders);
  };
}

function isFirst({ id, removes }: Step, holders: Map<string, string>): boolean {
  if (id.kind === "link-setting" && id.master !== undefined) {
    for (const [dst, dev] of holders) if (dev === id.link) holders.set(dst, left);
  }
  if (id.kind !== "route" || id.table !== undefined || lengthOf(id.dst) !== 0) return true;
  const holder = holders.get(id.dst);
  const isFree = holder === undefined || holder === left;
  if (!removes && isFree) holders.set(id.dst, id.dev);
  else if (!removes || holder !== id.dev) return false;
  else holders.set(id.dst, left);
  return true;
}

/** A default route has left the main table with its link. */
const left = " left";
