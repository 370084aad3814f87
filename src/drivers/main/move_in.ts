import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, hasDns, type Interface, parseDns, type Result } from "../../wire/cni/result.ts";
import { macFrom, parseMac, vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { removeLinkAtUndo, setLink } from "../../plan/ip.ts";
import type { HostState } from "../../plan/host_state.ts";
import { type Line, line, setSysctl, type Step, type Sysctl, words } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";
import { addAddresses, addRoutes, enableIpv6, withLease } from "./layer3.ts";

/**
 * The name of a link on its way into the container. Made under its final one, it could not be where the host has a link
 * of that name: until Linux 6.15 the kernel looked for it in the namespace that the request came from.
 */
export function interimName(at: Attachment): string {
  return vethFrom(at.digest);
}

/** Gives a link that was made in the container's namespace its final name; from here on the container's side ends it. */
export function moveIn(at: Attachment): readonly Line[] {
  const interim = interimName(at);
  return [
    removeLinkAtUndo("container", interim),
    line(
      "ip",
      "container",
      { kind: "link", link: at.ifname },
      words`link set dev ${interim} name ${at.ifname}`,
      {
        undo: words`link del dev ${at.ifname}`,
      },
    ),
  ];
}

/** When a link in the container comes up. */
export interface BringUp {
  /** It will be given addresses. */
  readonly layer3: boolean;
  /** It comes up only with its addresses: what `arp_notify` tells the neighbours of is those that are there by then. */
  readonly late: boolean;
}

/** Reads from the `ipam` of a configuration when the link comes up; DHCP asks through a link that is up. */
export function parseBringUp(conf: Fields): BringUp {
  const ipam = conf.object("ipam")?.string("type");
  return { layer3: ipam !== undefined, late: ipam !== undefined && ipam !== "dhcp" };
}

/** Sets the link up, unless that has to wait for its addresses. */
export function bringUp({ late }: BringUp, ifname: string): readonly Line[] {
  return late ? [] : [setLink("container", ifname, "up")];
}

/** Has the kernel tell the neighbours of the link's addresses as it comes up: they forget whoever had these before. */
export function announce(link: string, families: readonly (4 | 6)[]): readonly Sysctl[] {
  return families.map((family) => {
    const key = `net/ipv${family}/conf/${link}/${family === 4 ? "arp" : "ndisc"}_notify`;
    return setSysctl("container", key, "1", { onError: "ignore" });
  });
}

/**
 * Sets a link up that has got its addresses. Where it was up before, `arp_notify` is to tell the neighbours of them all the
 * same (RFC 2131, 4.4.1): it does whenever a link is given a MAC address, be it the one that it has. Not every link can be
 * given one.
 */
export function bringUpAddressed(bringUp: BringUp, { name, mac }: Interface): readonly Line[] {
  const up = setLink("container", name, "up");
  return isEarly(bringUp) && mac !== undefined
    ? [up, { ...setLink("container", name, "address", mac), onError: "ignore" }]
    : [up];
}

function isEarly({ layer3, late }: BringUp): boolean {
  return layer3 && !late;
}

/** A link in the container that is to be given addresses. */
export interface MovedIn {
  readonly made: Result;
  readonly bringUp: BringUp;
  /** Those that it may have when its sysctls are set, which is before it is renamed if both are done at once. */
  readonly names: readonly string[];
}

/** Gives a link in the container its addresses, sets it up, and adds the routes. */
export function configure(lease: Lease, { made, bringUp, names }: MovedIn): readonly Step[] {
  if (lease.ips.length === 0) throw new CniError("internal", "IPAM plugin returned missing IP config");
  const link = made.interfaces[0]!;
  return [
    ...enableIpv6(lease, ...names),
    ...(isEarly(bringUp) ? announce(link.name, [4]) : []),
    ...addAddresses(lease, link.name),
    ...bringUpAddressed(bringUp, link),
    ...addRoutes(lease, link.name),
  ];
}

/**
 * Reads `dns`. In the reference it counts even where it has nothing and IPAM's has something; but what a DHCP server tells
 * of names is of no other use, so where addresses come from one, undefined stands for nothing.
 */
export function parseOwnDns(conf: Fields): Dns | undefined {
  const dns = parseDns(conf.object("dns"));
  return hasDns(dns) || conf.object("ipam")?.string("type") !== "dhcp" ? dns : undefined;
}

/** The result for the one link in the container. */
export function resultOf(at: Attachment, mac: string | undefined, dns: Dns = {}): Result {
  const link = { name: at.ifname, ...(mac ? { mac } : {}), sandbox: at.netns };
  return { interfaces: [link], ips: [], routes: [], dns };
}

/**
 * The result once that link has its addresses.
 * @param dns what counts in place of the lease's
 */
export function addressed(made: Result, lease: Lease, dns: Dns | undefined): Result {
  return withLease(made, lease, 0, dns);
}

/** A MAC address that was asked for: in the configuration, or by the runtime, which outweighs it and CNI_ARGS. */
export interface WantedMac {
  readonly own?: string;
  readonly runtime?: string;
}

/** Reads `mac` and `runtimeConfig.mac`. */
export function parseWantedMac(conf: Fields): WantedMac {
  return { own: conf.string("mac"), runtime: conf.object("runtimeConfig")?.string("mac") };
}

/** The MAC address that the strongest wish names, or one of our choosing. @throws CniError for a wish that is none */
export function chooseMac({ own, runtime }: WantedMac, at: Attachment): string {
  const wanted = runtime ?? (at.args.get("MAC") || own);
  if (wanted === undefined) return macFrom(at.digest);
  const mac = parseMac(wanted);
  if (mac !== undefined) return mac;
  throw new CniError(
    "internal",
    `invalid args ${wanted} for MAC addr: address ${wanted}: invalid MAC address`,
  );
}

/** What is no longer so of the container's link, by its kind and what `ip` has to show of one of that kind. */
export function lostKind(
  kind: string,
  details: Readonly<Record<string, unknown>>,
  ifname: string,
  { inside }: HostState,
): string | undefined {
  const link = inside?.links.get(ifname);
  const what = `container interface "${ifname}"`;
  if (link?.kind !== kind) return `${what} is of kind "${link?.kind ?? ""}", not "${kind}"`;
  const other = Object.entries(details).find(([word, value]) => link.details?.[word] !== value);
  return other && `${what} has ${other[0]} ${link.details?.[other[0]]}, not ${other[1]}`;
}
