/** What a bridge's configuration says. */
import { addressOf, networkOf, parseAddress, parseCidr, plus } from "../../net/address.ts";
import { linkNameProblem } from "../../net/names.ts";
import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import { type Dns, hasDns, parseDns } from "../../wire/cni/result.ts";
import { type GatewayModes, parseModes } from "./gateway_modes.ts";
import { parseTrunk, vlanLink, type Vlans } from "./bridge_vlan.ts";
import { parseMasquerade } from "./layer3.ts";
import { type BringUp, parseBringUp } from "./move_in.ts";

/** A bridge's configuration, checked. */
export interface Conf {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly modes: GatewayModes;
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  /** Our own option: the containers can open connections only to each other and to the host. */
  readonly internal: boolean;
  readonly mtu?: number;
  /** The MTU of the host's way out, used if no MTU is configured. `up` and the hook set it. */
  readonly pathMtu?: number;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly vlans: Vlans;
  readonly macSpoofCheck: boolean;
  /** Our own option, false for DHCP: the container's MAC address follows from its IPv4 address, unless one is asked for. */
  readonly macFromAddress: boolean;
  readonly duplicateAddressDetection: boolean;
  readonly linkDown: boolean;
  readonly bringUp: BringUp;
  readonly portIsolation: boolean;
  readonly mac?: string;
  readonly dns?: Dns;
  /** The gateways of all subnets of the network's own IPAM, with prefix lengths. */
  readonly gateways: readonly string[];
}

/** It reads `MAC`. */
export const readsArgs = true;

/** Reads a bridge configuration. The defaults are the reference plugin's (1.9.1). */
export function parse(conf: Fields): Conf {
  const [isDefaultGateway, linkDown] = [
    flag(conf, "isDefaultGateway"),
    flag(conf, "disableContainerInterface"),
  ];
  const [hairpinMode, promiscMode] = [flag(conf, "hairpinMode"), flag(conf, "promiscMode")];
  if (hairpinMode && promiscMode) {
    throw new CniError("internal", "cannot set hairpin mode and promiscuous mode at the same time");
  }
  if (linkDown && conf.object("ipam")?.string("type")) {
    throw new CniError("internal", "cannot use IPAM when DisableContainerInterface flag is set");
  }
  const dns = parseDns(conf.object("dns"));
  const isGateway = flag(conf, "isGateway") || isDefaultGateway;
  const [bridge, vlan] = [conf.string("bridge") ?? "cni0", vlanId(conf)];
  checkAnyName(bridge);
  if (isGateway && vlan !== 0) checkName(vlanLink(bridge, vlan));
  return {
    bridge,
    isGateway,
    isDefaultGateway,
    modes: parseModes(conf),
    forceAddress: flag(conf, "forceAddress"),
    ipMasq: parseMasquerade(conf),
    internal: flag(conf, "internal"),
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) || undefined,
    pathMtu: conf.integer("pathMtu", { min: 0, max: 65535 }),
    hairpinMode,
    promiscMode,
    vlans: {
      id: vlan,
      trunk: parseTrunk(conf.objects("vlanTrunk")),
      keepDefault: flag(conf, "preserveDefaultVlan"),
    },
    macSpoofCheck: flag(conf, "macspoofchk"),
    macFromAddress: conf.boolean("macFromAddress") ?? conf.object("ipam")?.string("type") !== "dhcp",
    duplicateAddressDetection: flag(conf, "enabledad"),
    linkDown,
    bringUp: parseBringUp(conf),
    portIsolation: flag(conf, "portIsolation"),
    mac: wantedMac(conf),
    ...(hasDns(dns) ? { dns } : {}),
    gateways: gatewaysOfRanges(conf),
  };
}

/**
 * The gateways of host-local's ranges. Once the first subnet is full, the bridge gets the next one's gateway as well.
 * What is no text is for host-local to refuse.
 */
function gatewaysOfRanges(conf: Fields): readonly string[] {
  const ipam = conf.object("ipam");
  const sets = [ipam?.raw("ranges"), conf.object("runtimeConfig")?.raw("ipRanges")].flat(2);
  const entries = sets.flatMap((entry) => typeof entry === "object" && entry ? [fields(entry)] : []);
  return [...ipam ? [ipam] : [], ...entries].flatMap((entry) => {
    const text = (key: string) => typeof entry.raw(key) === "string" ? entry.raw(key) as string : "";
    const subnet = parseCidr(text("subnet"));
    if (!subnet) return [];
    const network = networkOf(`${subnet.address}/${subnet.length}`);
    const own = parseAddress(text("gateway"));
    return [`${own ?? plus(addressOf(network), 1n)}/${subnet.length}`];
  });
}

function flag(conf: Fields, key: string): boolean {
  return conf.boolean(key) ?? false;
}

/** Checks a name. An existing bridge may be named by an alternative name, which can be longer. */
function checkAnyName(link: string): void {
  if (link.length > 127 || linkNameProblem(link.slice(0, 15)) !== undefined) checkName(link);
}

/** Refuses what can be no name of a link. @throws CniError */
export function checkName(link: string): void {
  const problem = linkNameProblem(link);
  if (problem) {
    throw new CniError("invalidConfig", `Cannot use bridge link ${JSON.stringify(link)}: ${problem}`);
  }
}

function vlanId(conf: Fields): number {
  const id = conf.integer("vlan") ?? 0;
  if (id < 0 || id > 4094) {
    throw new CniError("internal", `invalid VLAN ID ${id} (must be between 0 and 4094)`);
  }
  return id;
}

/**
 * The MAC address from runtimeConfig, or else from args.cni. The one from CNI_ARGS ranks last; it is in the attachment.
 */
function wantedMac(conf: Fields): string | undefined {
  return conf.object("runtimeConfig")?.string("mac") ?? conf.object("args")?.object("cni")?.string("mac");
}
