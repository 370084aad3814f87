import { type Line, line, type Place, type Step, words } from "./step.ts";

/** A rate in bytes a second, and how many bytes may go at once after a pause. */
export interface Limit {
  readonly rate: number;
  readonly burst: number;
}

/** What the kernel keeps the time to send a burst in: 2^32 - 1 ticks of 64 ns, which is 274.9 s. */
const longestBurst = (2 ** 32 - 1) * 64e-9;

/** How many bytes may go at once: newer versions of `tc` refuse a burst that takes longer to send than the kernel can keep. */
export function burstSize({ rate, burst }: Limit): number {
  return Math.min(burst, Math.floor(rate * longestBurst));
}

/** Holds what leaves a link to a rate, by a bucket that keeps what comes in 25 ms more than it lets through at once. */
export function shape(on: Place, link: string, given: Limit): Line {
  const [{ rate }, burst, limit] = [given, burstSize(given), queueSize(given)];
  const run = words`qdisc add dev ${link} root handle 1: tbf rate ${`${rate}bps`}` +
    words` burst ${`${burst}b`} limit ${`${limit}b`}`;
  return line("tc", on, { kind: "queue", link, parent: "root" }, run, {
    undo: words`qdisc del dev ${link} root handle 1:`,
  });
}

/** How many bytes may wait there. */
export function queueSize(limit: Limit): number {
  return Math.min(Math.floor(limit.rate * 0.025) + burstSize(limit), 2 ** 32 - 1);
}

/** Makes a link on which what enters another can wait, for arriving packets cannot. */
export function addIfb(on: Place, { name, mac }: { name: string; mac: string }, mtu?: number): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const run = words`link add name ${name} address ${mac}` + size + " txqueuelen 0 up type ifb";
  return line("ip", on, { kind: "link", link: name, type: "ifb" }, run, {
    undo: words`link del dev ${name}`,
  });
}

/** Where the filters of arriving packets are, in a qdisc "ingress" and in a "clsact" alike. */
export const ingressHook = "ffff:fff2";

/** How a link is that another program may have queues on. */
export interface Ingress {
  /** A qdisc "ingress" or "clsact" is there. */
  readonly hasQdisc: boolean;
  /** The preferences that no filter of ours can have. */
  readonly taken: readonly number[];
}

/** Sends what enters a link through an ifb link first; a qdisc that holds others' filters gets one more. */
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
