import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import { macFrom, vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Step } from "../../plan/step.ts";
import { addIfb, burstSize, type Ingress, type Limit, queueSize, redirect, shape } from "../../plan/tc.ts";
import type { Lookups } from "../plugin.ts";
import { hostLinks, ifbPattern } from "../../wire/cni/previous_result.ts";

interface Conf {
  /** The limit of traffic to the container. */
  readonly ingress?: Limit;
  /** The limit of traffic from the container. */
  readonly egress?: Limit;
}

const keys = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"] as const;

/** Results of earlier versions name no links. */
export const since = "0.3.0";

/** Reads the limits in bits. If the configuration has any limit, all of runtimeConfig's are ignored. */
export function parse(conf: Fields): Conf {
  const given = keys.some((key) => conf.has(key)) ? conf : conf.object("runtimeConfig")?.object("bandwidth");
  if (!given) return {};
  return {
    ingress: parseLimit(given, "ingressRate", "ingressBurst"),
    egress: parseLimit(given, "egressRate", "egressBurst"),
  };
}

function parseLimit(given: Fields, rateKey: string, burstKey: string): Limit | undefined {
  const [rate, burst] = [given.integer(rateKey, { min: 0 }) ?? 0, given.integer(burstKey, { min: 0 }) ?? 0];
  if (rate === 0 && burst === 0) return undefined;
  if (burst === 0) throw new CniError("internal", "if rate is set, burst must also be set");
  if (rate === 0) throw new CniError("internal", "if burst is set, rate must also be set");
  const limit = { rate: Math.floor(rate / 8), burst: Math.floor(burst / 8) };
  if (limit.burst >= 2 ** 32 - 1) throw new CniError("internal", "burst cannot be more than 4GB");
  const small = limit.rate === 0 ? [rateKey, rate] : limit.burst === 0 ? [burstKey, burst] : undefined;
  if (small) {
    throw new CniError(
      "invalidConfig",
      `Cannot limit bandwidth by "${small[0]}" ${small[1]}: it is under 8 bits`,
    );
  }
  return limit;
}

/**
 * Looks up which host link is the container's peer, unless the name shows that we made it. Also looks up whether the
 * container already has an ifb link on the network.
 */
export function lookups({ ingress, egress }: Conf, at: Attachment, made?: Result): Lookups {
  if (!ingress && !egress) return {};
  const first = egress ? referenceIfb(at) : [];
  const links = made ? hostLinks(made) : [];
  const own = vethFrom(at.digest);
  const known = links.length === 0 || links.includes(own);
  const ends = known ? links.filter((name) => name === own) : links;
  return {
    links: known ? [] : links,
    names: first,
    inside: !known,
    answers: ends.flatMap((link) => [queuesOn(link), filtersOn(link)]),
  };
}

/** Shapes what arrives at the host's end of the veth (by an ifb link), and what leaves it. */
export function plan({ ingress, egress }: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  if (!ingress && !egress) return { steps: [], result: made };
  const veth = hostEnd(at, made, seen);
  const ifb = { name: ifbName(at, made, seen), mac: macFrom(at.digest.slice(0, 74)) };
  if (ingress) refuseOthersQueue(veth, ingress, seen);
  return {
    steps: [
      ...(egress ? [addIfb("host", ifb, seen.links.get(veth)?.mtu)] : []),
      ...(ingress ? [shape("host", veth, ingress)] : []),
      ...(egress ? redirect("host", veth, ifb.name, ingressOf(veth, ifb.name, seen)) : []),
      ...(egress ? [shape("host", ifb.name, egress)] : []),
    ],
    result: egress && !made.interfaces.some(({ name }) => name === ifb.name)
      ? { ...made, interfaces: [...made.interfaces, ifb] }
      : made,
  };
}

/** Refuses a link with a root qdisc of another program: a link has only one. */
function refuseOthersQueue(link: string, wanted: Limit, seen: HostState): void {
  // "noqueue" and similar qdiscs have no handle. The kernel set them, and replaces them by any other.
  const other = queuesOf(link, seen).find(({ root, handle }) => root === true && handle !== "0:");
  if (other === undefined || lostLimit(link, wanted, seen) === undefined) return;
  throw new CniError(
    "internal",
    `Cannot limit what leaves "${link}": it has a queue of another program, ` +
      `"${other.kind}" with handle ${other.handle}; tc qdisc del dev ${link} root takes that away`,
  );
}

/**
 * The qdiscs and filters for arriving packets of other programs, such as eBPF agents (containernetworking/plugins#894).
 */
function ingressOf(link: string, ifb: string, seen: HostState): Ingress {
  const filters = parseRows<Filter>(seen.answers?.get(filtersOn(link)));
  const own = filters.find((filter) => leadsTo(filter, ifb))?.pref;
  return {
    hasQdisc: queuesOf(link, seen).some(({ kind }) => kind === "ingress" || kind === "clsact"),
    taken: filters.flatMap(({ pref }) => pref === undefined || pref === own ? [] : [pref]),
  };
}

/**
 * The undo of an ADD without a record. It covers only qdiscs and filters that are exactly as an ADD would make them
 * now. Others may belong to another program and be the reason why the ADD failed.
 */
export function unrecorded(conf: Conf, at: Attachment, made: Result, seen: HostState): readonly Step[] {
  const { ingress, egress } = conf;
  if ((!ingress && !egress) || made.interfaces.length === 0) return [];
  const ifb = namedIfb(made) ?? referenceIfb(at)[0] ?? `bwp${at.digest.slice(0, 12)}`;
  const ends = hostLinks(made).filter((link) => link !== ifb && seen.answers?.has(queuesOn(link)));
  return [
    ...(egress ? [addIfb("host", { name: ifb, mac: macFrom(at.digest.slice(0, 74)) })] : []),
    ...ends.flatMap((link) => [
      ...(ingress && lostLimit(link, ingress, seen) === undefined ? [shape("host", link, ingress)] : []),
      ...(egress ? ownRedirect(link, ifb, seen) : []),
    ]),
  ];
}

/** The filter that redirects to the ifb link, and its qdisc if that has no other filter. */
function ownRedirect(link: string, ifb: string, seen: HostState): readonly Step[] {
  const filters = parseRows<Filter>(seen.answers?.get(filtersOn(link)));
  const own = filters.find((filter) => leadsTo(filter, ifb))?.pref;
  if (own === undefined) return [];
  const others = filters.flatMap(({ pref }) => pref === undefined || pref === own ? [] : [pref]);
  const isIngress = queuesOf(link, seen).some(({ kind }) => kind === "ingress");
  const below = Array.from({ length: own - 1 }, (_, i) => i + 1);
  return redirect("host", link, ifb, { hasQdisc: !isIngress || others.length > 0, taken: below });
}

/** A filter in the output of `tc`. */
interface Filter {
  readonly pref?: number;
  readonly options?: { readonly actions?: readonly { readonly to_dev?: string }[] };
}

function leadsTo({ options }: Filter, ifb: string): boolean {
  return options?.actions?.some(({ to_dev }) => to_dev === ifb) === true;
}

/** A qdisc in the output of `tc`. */
interface Queue {
  readonly kind: string;
  readonly handle?: string;
  readonly root?: boolean;
  readonly options?: Shown;
}

function queuesOf(link: string, { answers }: HostState): readonly Queue[] {
  return parseRows<Queue>(answers?.get(queuesOn(link)));
}

function parseRows<Row>(answer: string | undefined): readonly Row[] {
  return JSON.parse(answer || "[]") as readonly Row[];
}

/**
 * The host's end of the veth. If the container was not looked into, its namespace is gone and everything is undone;
 * then the last link is taken.
 */
function hostEnd(at: Attachment, made: Result, seen: HostState): string {
  if (made.interfaces.length === 0) throw new CniError("internal", "no interfaces provided");
  const links = hostLinks(made);
  const own = vethFrom(at.digest);
  if (links.includes(own)) return own;
  const end = seen.inside ? peerOf(at.ifname, seen, links) : links.findLast((name) => !ifbPattern.test(name));
  if (end === undefined) {
    throw new CniError("internal", "no veth peer of container interface found in host ns");
  }
  return end;
}

function peerOf(ifname: string, seen: HostState, links: readonly string[]): string | undefined {
  const peer = seen.inside?.links.get(ifname)?.linkIndex;
  if (peer === undefined) {
    throw new CniError("internal", `container interface ${ifname} has no veth peer: it is not a veth`);
  }
  return links.find((name) => seen.links.get(name)?.index === peer);
}

/**
 * The name of the ifb link. It is the reference's, so that the reference's DEL finds it. But that name does not depend
 * on the interface, and a container may be on a network twice, so the second one gets another name. A result names the
 * link that was made.
 */
function ifbName(at: Attachment, made: Result, { names }: HostState): string {
  return namedIfb(made) ?? referenceIfb(at).find((name) => !names?.has(name)) ??
    `bwp${at.digest.slice(0, 12)}`;
}

/** The ifb link that a result names. */
export function namedIfb(made: Result): string | undefined {
  return hostLinks(made).find((name) => ifbPattern.test(name));
}

function referenceIfb({ referenceDigest }: Attachment): readonly string[] {
  return referenceDigest === undefined ? [] : [`bwp${referenceDigest.slice(0, 12)}`];
}

/** Looks up the qdiscs of the result's links on the host. */
export function evidence({ ingress, egress }: Conf, _at: Attachment, made: Result): Lookups {
  return {
    answers: ingress || egress ? hostLinks(made).flatMap((link) => [queuesOn(link), filtersOn(link)]) : [],
  };
}

function queuesOn(link: string): string {
  return `tc -j -raw qdisc show dev ${link}`;
}

function filtersOn(link: string): string {
  return `tc -j filter show dev ${link} ingress`;
}

/** Checks the qdiscs, their limits, and the redirection to the ifb link. */
export function checkDrift(
  { ingress, egress }: Conf,
  at: Attachment,
  made: Result,
  seen: HostState,
): string | undefined {
  if (!ingress && !egress) return undefined;
  const [veth, ifb] = [hostEnd(at, made, seen), ifbName(at, made, seen)];
  return (ingress && lostLimit(veth, ingress, seen)) ?? (egress && lostWay(veth, ifb, seen)) ??
    (egress && lostLimit(ifb, egress, seen));
}

/** A qdisc's options in the output of `tc`. */
interface Shown {
  readonly rate?: number;
  readonly burst?: number;
  readonly limit?: number;
}

function lostLimit(link: string, wanted: Limit, seen: HostState): string | undefined {
  const found = queuesOf(link, seen).find(({ kind }) => kind === "tbf")?.options;
  if (!found) return `"${link}" has no limit`;
  const [{ rate, burst, limit }, size] = [found, queueSize(wanted)];
  if (rate !== wanted.rate) return `"${link}" is limited to ${rate} bytes/s, not ${wanted.rate}`;
  if (limit !== size) return `"${link}" holds up to ${limit} bytes, not ${size}`;
  const atOnce = burstSize(wanted);
  return isBurst(burst, atOnce, wanted)
    ? undefined
    : `"${link}" lets ${burst} bytes go at once, not ${atOnce}`;
}

/**
 * Compares bursts. The kernel stores the time to send the burst in ticks of 64 ns, and `tc` shows whole microseconds.
 */
function isBurst(shown: number | undefined, burst: number, { rate }: Limit): boolean {
  return Math.abs((shown ?? 0) - burst) <= 1 + rate * 2e-6;
}

function lostWay(veth: string, ifb: string, { answers }: HostState): string | undefined {
  const isThere = answers?.get(filtersOn(veth))?.includes(`"to_dev":"${ifb}"`);
  return isThere ? undefined : `What "${veth}" gets does not pass "${ifb}"`;
}

/** Tests for each kind of qdisc, filter and link. */
export function kernelProbe(): readonly string[] {
  return [
    "ip link add name try0 type ifb",
    "tc qdisc add dev try0 root tbf rate 1mbit burst 10kb latency 25ms",
    "tc qdisc add dev try0 handle ffff: ingress",
    "tc filter add dev try0 parent ffff:fff2 protocol all prio 1 u32 match u32 0 0 classid 1:1 " +
    "action mirred egress redirect dev try0",
  ];
}
