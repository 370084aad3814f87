import { type Line, line, type Place, type Step, words } from "./step.ts";

/** A rate in bytes a second, and how many bytes may go at once after a pause. */
export interface Limit {
  readonly rate: number;
  readonly burst: number;
}

/** Holds what leaves a link to a rate, by a bucket that keeps what comes in 25 ms more than it lets through at once. */
export function shape(on: Place, link: string, given: Limit): Line {
  const [{ rate, burst }, limit] = [given, queueSize(given)];
  const run = words`qdisc add dev ${link} root handle 1: tbf rate ${`${rate}bps`}` +
    words` burst ${`${burst}b`} limit ${`${limit}b`}`;
  return line("tc", on, { kind: "queue", link, parent: "root" }, run, {
    undo: words`qdisc del dev ${link} root`,
  });
}

/** How many bytes may wait there. */
export function queueSize({ rate, burst }: Limit): number {
  return Math.min(Math.floor(rate * 0.025) + burst, 2 ** 32 - 1);
}

/** Makes a link on which what enters another can wait, for arriving packets cannot. */
export function addIfb(on: Place, { name, mac }: { name: string; mac: string }, mtu?: number): Line {
  const size = mtu === undefined ? "" : words` mtu ${mtu}`;
  const run = words`link add name ${name} address ${mac}` + size + " txqueuelen 0 up type ifb";
  return line("ip", on, { kind: "link", link: name, type: "ifb" }, run, {
    undo: words`link del dev ${name}`,
  });
}

/** Sends what enters a link through an ifb link first. */
export function redirect(on: Place, link: string, ifb: string): readonly Step[] {
  const filter =
    words`filter add dev ${link} parent ffff: protocol all prio 1 u32 match u32 0 0 classid 1:1 ` +
    words`action mirred egress redirect dev ${ifb}`;
  return [
    line(
      "tc",
      on,
      { kind: "queue", link, parent: "ingress" },
      words`qdisc add dev ${link} handle ffff: ingress`,
      {
        undo: words`qdisc del dev ${link} ingress`,
      },
    ),
    line("tc", on, { kind: "filter", link, parent: "ffff:" }, filter),
  ];
}
