import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, hasDns, type Interface, parseDns, type Result } from "../../wire/cni/result.ts";
import { macFrom, parseMac, vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { removeLinkAtUndo, setLink } from "../../plan/ip.ts";
import type { HostState } from "../../plan/host_state.ts";
import { type Line, line, setSysctl, type Step, type Sysctl, words } from "../../plan/step.ts";
import type { Lease } from "../plugin.ts";
import { addAddresses, addRoutes, enableIpv6, needAddresses, withLease } from "./layer3.ts";

/**
 * The name of a link until it is in the container. Before Linux 6.15 the kernel checked a new link's name in the
 * caller's namespace. So a link could not be made under its final name if the host had a link of that name.
 */
export function interimName(at: Attachment): string {
  return vethFrom(at.digest);
}

/**
 * Lets a link that has its final name be found by its interim name as well, whatever the container names it: undoing
 * removes it by that. A kernel before 5.5 has no such names.
 */
export function keepInterimName(at: Attachment): Line {
  const run = words`link property add dev ${at.ifname} altname ${interimName(at)}`;
  const id = { kind: "link-setting", link: at.ifname, name: "altname" } as const;
  return line("ip", "container", id, run, { onError: "ignore" });
}

/** Renames a link that was made in the container's namespace. From then on it is removed from inside the container. */
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
    keepInterimName(at),
  ];
}

/** When a link in the container is set up. */
export interface BringUp {
  /** The link gets addresses. */
  readonly layer3: boolean;
  /**
   * The link is set up after its addresses are added, because `arp_notify` announces only addresses that exist at that
   * time.
   */
  readonly late: boolean;
}

/** Decides from `ipam` when the link is set up. DHCP needs a link that is up. */
export function parseBringUp(conf: Fields): BringUp {
  const ipam = conf.object("ipam")?.string("type");
  return { layer3: ipam !== undefined, late: ipam !== undefined && ipam !== "dhcp" };
}

/** Sets the link up, unless it must wait for its addresses. */
export function bringUp({ late }: BringUp, ifname: string): readonly Line[] {
  return late ? [] : [setLink("container", ifname, "up")];
}

/** Lets the kernel announce the link's addresses when it comes up, so that neighbours replace old entries for them. */
export function announce(link: string, families: readonly (4 | 6)[]): readonly Sysctl[] {
  return families.map((family) => {
    const key = `net/ipv${family}/conf/${link}/${family === 4 ? "arp" : "ndisc"}_notify`;
    return setSysctl("container", key, "1", { onError: "ignore" });
  });
}

/**
 * Sets a link with addresses up. If it was up before (DHCP), its addresses must still be announced (RFC 2131, 4.4.1).
 * `arp_notify` also announces when a MAC address is set, even the same one, so it is set again. Not every link allows
 * that, so errors are ignored.
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

/** A link in the container that gets addresses. */
export interface MovedIn {
  readonly made: Result;
  readonly bringUp: BringUp;
  /**
   * The names the link may have when its sysctls are set. If both happen in one batch, the sysctls are set before it is
   * renamed.
   */
  readonly names: readonly string[];
}

/** Adds the addresses of a link in the container, sets it up, and adds the routes. */
export function configure(lease: Lease, { made, bringUp, names }: MovedIn): readonly Step[] {
  needAddresses(lease);
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
 * Reads `dns`. In the reference, an empty `dns` still overrides IPAM's. But the DNS settings of a DHCP server have no
 * other use, so with DHCP an empty `dns` is undefined and overrides nothing.
 */
export function parseOwnDns(conf: Fields): Dns | undefined {
  const dns = parseDns(conf.object("dns"));
  return hasDns(dns) || conf.object("ipam")?.string("type") !== "dhcp" ? dns : undefined;
}

/** The result with one link in the container. */
export function resultOf(at: Attachment, mac: string | undefined, dns: Dns = {}): Result {
  const link = { name: at.ifname, ...(mac ? { mac } : {}), sandbox: at.netns };
  return { interfaces: [link], ips: [], routes: [], dns };
}

/** The result after that link has got its addresses. @param dns replaces the lease's DNS settings */
export function addressed(made: Result, lease: Lease, dns: Dns | undefined): Result {
  return withLease(made, lease, 0, dns);
}

/**
 * A requested MAC address: from the configuration, or from the runtime. The runtime has precedence over both the
 * configuration and CNI_ARGS.
 */
export interface WantedMac {
  readonly own?: string;
  readonly runtime?: string;
}

/** Reads `mac` and `runtimeConfig.mac`. */
export function parseWantedMac(conf: Fields): WantedMac {
  return { own: conf.string("mac"), runtime: conf.object("runtimeConfig")?.string("mac") };
}

/**
 * The requested MAC address with the highest precedence, or a generated one.
 * @throws CniError if it is not a MAC address
 */
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

/**
 * The first property of the container's link that differs: its kind, or an attribute of that kind that `ip` reports.
 */
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
