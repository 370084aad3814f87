import { type Line, line, type Place, type Step, words } from "./step.ts";

/** A rate in bytes per second, and the burst in bytes that may be sent at once after a pause. */
export interface Limit {
  readonly rate: number;
  readonly burst: number;
}

/** The longest burst in seconds. The kernel stores it as at most 2^32 - 1 ticks of 64 ns, which is 274.9 s. */
const longestBurst = (2 ** 32 - 1) * 64e-9;

/** The burst in bytes, at most `longestBurst` at this rate. Newer versions of `tc` refuse longer ones. */
export function burstSize({ rate, burst }: Limit): number {
  return Math.min(burst, Math.floor(rate * longestBurst));
}

/** Limits the rate of what leaves a link, with a token bucket. Its queue holds the burst and 25 ms more. */
export function shape(on: Place, link: string, given: Limit): Line {
  const [{ rate }, burst, limit] = [given, burstSize(given), queueSize(given)];
  const run = words`qdisc add dev ${link} root handle 1: tbf rate ${`${rate}bps`}` +
    words` burst ${`${burst}b`} limit ${`${limit}b`}`;
  return line("tc", on, { kind: "queue", link, parent: "root" }, run, {
    undo: words`qdisc del dev ${link} root handle 1:`,
  });
}

/** The size of the queue in bytes. */
export function queueSize(limit: Limit): number {
  return Math.min(Math.floor(limit.rate * 0.025) + burstSize(limit), 2 ** 32 - 1);
}

/**
 * Makes an ifb link, which can queue the packets that arrive on another link. Arriving packets cannot be queued
 * otherwise.
 */
export function addIfb(on: Place, { name, mac }: { name: string; mac: string }, mtu?: number): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const run = words`link add name ${name} address ${mac}` + size + " txqueuelen 0 up type ifb";
  return line("ip", on, { kind: "link", link: name, type: "ifb" }, run, {
    undo: words`link del dev ${name}`,
  });
}

/** The parent of filters for arriving packets; valid for the qdiscs "ingress" and "clsact". */
export const ingressHook = "ffff:fff2";

/** The ingress state of a link on which another program may have qdiscs and filters. */
export interface Ingress {
  /** A qdisc "ingress" or "clsact" exists. */
  readonly hasQdisc: boolean;
  /** The filter preferences that are in use. */
  readonly taken: readonly number[];
}

/**
 * Redirects what arrives on a link to an ifb link. An existing qdisc with other programs' filters gets one more filter.
 */
export function redirect(on: Place, link: string, ifb: string, at?: Ingress): readonly Step[] {
  return [...(at?.hasQdisc ? [] : [addIngress(on, link)]), addRedirect(on, link, ifb, at?.taken ?? [])];
}

function addIngress(on: Place, link: string): Line {
  const id = { kind: "queue", link, parent: "ingress" } as const;
  const run = words`qdisc add dev ${link} handle ffff: ingress`;
  return line("tc", on, id, run, { undo: words`qdisc del dev ${link} ingress` });
}

function addRedirect(on: Place, link: string, ifb: string, taken: readonly number[]): Line {
  let pref = 1;
  while (taken.includes(pref)) pref++;
  const filter = words`dev ${link} parent ${ingressHook} protocol all prio ${pref} u32`;
  const run = `filter add ${filter} match u32 0 0 classid 1:1 ` +
    words`action mirred egress redirect dev ${ifb}`;
  const id = { kind: "filter", link, parent: "ffff:" } as const;
  return line("tc", on, id, run, { undo: `filter del ${filter}` });
}
