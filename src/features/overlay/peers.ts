import { contains, family } from "../../net/address.ts";
import { linkLocalFrom, macOfAddress, parseMac } from "../../net/names.ts";
import { line, type Step, words } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { parseAddress } from "../../net/address.ts";
import { readClaim } from "./claims.ts";
import type { KeyValue } from "./etcd_wire.ts";
import { type AddressClaim, type HostRecord, type OverlayNetwork, subnetOf } from "./keys.ts";
import { listWhole } from "./whole_table.ts";

/** What a host's kernel has to know of other hosts' endpoints. */
export interface PeerEntries {
  /** The host of a MAC address, by its underlay address: the VXLAN link's own table. */
  readonly vteps: ReadonlyMap<string, string>;
  /** MAC addresses that the bridge leads to the VXLAN link: wherever we make them, those of `vteps`. */
  readonly forwarded: Pick<ReadonlyMap<string, unknown>, "has" | "keys">;
  /** MAC addresses by address: the bridge answers for them, so that nothing has to be flooded. */
  readonly neighbours: ReadonlyMap<string, string>;
}

/** Stands in the VXLAN link's table for addresses that it has no entry for. */
const anyMac = "00:00:00:00:00:00";

/** No entries. */
export const noEntries: PeerEntries = { vteps: new Map(), forwarded: new Set(), neighbours: new Map() };

/** What is to be on a host, and what of it cannot be. */
export interface Wanted extends PeerEntries {
  /** The underlay addresses of other hosts that have a part in the network. */
  readonly hosts: ReadonlySet<string>;
  readonly problems: readonly string[];
}

/**
 * What follows from the claims of a network: those of hosts that are alive, other than our own. A claim that lies outside
 * of the network, or that uses another's MAC address, is told, and left out.
 */
export function wantedEntries(
  network: OverlayNetwork,
  claims: ReadonlyMap<string, KeyValue>,
  hosts: ReadonlyMap<string, HostRecord>,
  ownHost: string,
): Wanted {
  const [vteps, neighbours] = [new Map<string, string>(), new Map<string, string>()];
  const { valid, problems } = validClaims(network, claims);
  const members = new Set<string>();
  const own = hosts.get(ownHost);
  const faults = new Map<string, string | undefined>();
  for (const { address, claim } of valid) {
    const host = hosts.get(claim.host);
    if (claim.host === ownHost || host === undefined) continue;
    if (!faults.has(claim.host)) faults.set(claim.host, faultOf(network, host, own));
    if (faults.get(claim.host) !== undefined) continue;
    members.add(host.underlay);
    vteps.set(claim.mac, host.underlay);
    neighbours.set(address, claim.mac);
    if (family(address) === 6) neighbours.set(linkLocalFrom(claim.mac), claim.mac);
  }
  const unreached = [...faults].flatMap(([name, fault]) =>
    fault === undefined ? [] : [`Cannot reach host "${name}": ${fault}`]
  );
  return {
    vteps,
    forwarded: vteps,
    neighbours,
    hosts: members,
    problems: [...unreached, ...problems],
  };
}

/** Why no packet may be sent to a host. */
function faultOf(network: OverlayNetwork, { underlay }: HostRecord, own?: HostRecord): string | undefined {
  if (own?.underlay === underlay) return `its underlay's address ${underlay} is this host's own`;
  // One line that the kernel refuses would cost all those behind it.
  if (own && family(own.underlay) !== family(underlay)) {
    return `its underlay has ${underlay}, and this host's ${own.underlay}; ` +
      'set "underlay" to addresses of one family on all hosts';
  }
  return insideOf(network, underlay);
}

/** What is sent to a host whose address is a container's would be led into the network. */
export function insideOf({ name, subnets }: OverlayNetwork, underlay: string): string | undefined {
  if (!subnets.some((subnet) => contains(subnet, underlay))) return undefined;
  return `network "${name}" contains the underlay's address ${underlay}; make the network anew with another subnet`;
}

/** An address that is taken. */
interface Valid {
  readonly address: string;
  readonly claim: AddressClaim;
  /** The MAC address is that which follows from this address. */
  readonly hasOwnMac: boolean;
}

/** What claims come to by themselves, for the subnets that they were looked at with: there may be many thousands. */
const judged = new WeakMap<KeyValue, { readonly subnets: string; readonly valid: Valid | undefined }>();

function judge(
  network: OverlayNetwork,
  subnets: string,
  address: string,
  entry: KeyValue,
): Valid | undefined {
  const known = judged.get(entry);
  if (known?.subnets === subnets) return known.valid;
  const claim = readClaim(entry);
  const isOne = claim && parseAddress(address) === address && subnetOf(network, address) !== undefined;
  const valid = isOne ? { address, claim, hasOwnMac: claim.mac === macOfAddress(address) } : undefined;
  judged.set(entry, { subnets, valid });
  return valid;
}

/** A MAC address follows from the address of the network's first family; with it goes one owner's address of the other. */
function validClaims(
  network: OverlayNetwork,
  claims: ReadonlyMap<string, KeyValue>,
): { readonly valid: readonly Valid[]; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const subnets = network.subnets.join(" ");
  const [own, others] = [[] as Valid[], [] as Valid[]];
  for (const [key, entry] of claims) {
    const one = judge(network, subnets, key, entry);
    if (one) (one.hasOwnMac ? own : others).push(one);
    else {problems.push(
        `Cannot use ${JSON.stringify(key.slice(0, 80))} on network "${network.name}": it is no claim`,
      );}
  }
  if (others.length === 0) return { valid: own, problems };
  const owners = new Map(own.map(({ claim }) => [claim.mac, ownerOf(claim)] as const));
  for (const one of others) {
    if (owners.get(one.claim.mac) === ownerOf(one.claim)) own.push(one);
    else {problems.push(
        `Cannot use ${one.address} on network "${network.name}": its MAC address is another's`,
      );}
  }
  return { valid: own, problems };
}

function ownerOf({ host, id, ifname }: AddressClaim): string {
  return `${host} ${id} ${ifname}`;
}

/** What turns one state of the tables into another: of each tool's, what is gone, then what is new. */
export function peerSteps(
  now: PeerEntries,
  wanted: PeerEntries,
  { bridge, vxlan }: { readonly bridge: string; readonly vxlan: string },
): readonly Step[] {
  const fdb = (mac: string, run: string): Step =>
    line("bridge", "host", { kind: "fdb", mac, link: vxlan }, run);
  const gone = (step: Step): Step => ({ ...step, removes: true, onError: "ignore" } as Step);
  const neighbour = (address: string, run: string) =>
    line("ip", "host", { kind: "neighbour", address, link: bridge }, run);
  const steps: Step[] = [];
  // Loops, not copies: there may be many thousands, of which a few change.
  for (const mac of now.forwarded.keys()) {
    if (!wanted.forwarded.has(mac)) steps.push(gone(fdb(mac, words`fdb del ${mac} dev ${vxlan} master`)));
  }
  for (const [mac, host] of now.vteps) {
    if (!wanted.vteps.has(mac)) steps.push(gone(fdb(mac, words`fdb del ${mac} dev ${vxlan} dst ${host}`)));
  }
  for (const [mac, host] of wanted.vteps) {
    // `append` and `add` leave a MAC address where it was; only `replace` moves it.
    if (now.vteps.get(mac) !== host) steps.push(fdb(mac, words`fdb replace ${mac} dev ${vxlan} dst ${host}`));
  }
  for (const mac of wanted.forwarded.keys()) {
    // Sticky: a container that uses the address does not take the entry away.
    if (now.forwarded.has(mac)) continue;
    steps.push(fdb(mac, words`fdb replace ${mac} dev ${vxlan} master static sticky`));
  }
  for (const address of now.neighbours.keys()) {
    if (wanted.neighbours.has(address)) continue;
    steps.push(gone(neighbour(address, words`neigh del ${address} dev ${bridge}`)));
  }
  for (const [address, mac] of wanted.neighbours) {
    if (now.neighbours.get(address) === mac) continue;
    steps.push(neighbour(address, words`neigh replace ${address} lladdr ${mac} dev ${bridge} nud permanent`));
  }
  return steps;
}

/** The hosts that multicast and broadcast of a network go to. */
export function flooded({ multicast }: OverlayNetwork, hosts: ReadonlySet<string>): ReadonlySet<string> {
  return multicast ? hosts : new Set();
}

/** What has the VXLAN link send multicast and broadcast to other hosts than now. */
export function floodSteps(
  vxlan: string,
  now: ReadonlySet<string>,
  wanted: ReadonlySet<string>,
): readonly Step[] {
  return setSteps(now, wanted, (host, isNew) => {
    const run = words`fdb ${isNew ? "append" : "del"} ${anyMac} dev ${vxlan} dst ${host}`;
    return line("bridge", "host", { kind: "fdb", mac: anyMac, link: vxlan }, run);
  });
}

/** What makes one set of another: first without what is gone. */
function setSteps(
  now: ReadonlySet<string>,
  wanted: ReadonlySet<string>,
  step: (one: string, isNew: boolean) => Step,
): readonly Step[] {
  return [
    ...[...now].filter((one) => !wanted.has(one)).map((one) => ({
      ...step(one, false),
      removes: true as const,
    })),
    ...[...wanted].filter((one) => !now.has(one)).map((one) => step(one, true)),
  ];
}

/** Looks at the kernel's tables. */
export async function observeEntries(
  world: World,
  { bridge, vxlan }: { readonly bridge: string; readonly vxlan: string },
): Promise<PeerEntries & { readonly floods: ReadonlySet<string> }> {
  const [fdb, neighbours] = await Promise.all([
    rowsOf(world, ["bridge", "-json", "fdb", "show", "dev", vxlan]),
    rowsOf(world, ["ip", "-json", "neigh", "show", "dev", bridge, "nud", "permanent"]),
  ]);
  const text = (value: unknown) => typeof value === "string" ? value : "";
  const learnt = fdb.filter(({ mac, state }) => parseMac(text(mac)) && state !== "permanent");
  const led = fdb.filter(({ dst }) => dst !== undefined).map(({ mac, dst }) =>
    [text(mac), text(dst)] as const
  );
  return {
    vteps: new Map(led.filter(([mac]) => mac !== anyMac)),
    floods: new Set(led.flatMap(([mac, host]) => mac === anyMac ? [host] : [])),
    forwarded: new Set(
      learnt.filter(({ flags }) => Array.isArray(flags) && flags.includes("sticky")).map(({ mac }) =>
        text(mac)
      ),
    ),
    neighbours: new Map(neighbours.map(({ dst, lladdr }) => [text(dst), text(lladdr)] as const)),
  };
}

async function rowsOf(
  world: World,
  argv: readonly string[],
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { code, stdout } = await world.run(argv, { looks: true });
  if (code !== 0 || stdout.trim() === "") return [];
  return (JSON.parse(stdout) as readonly unknown[]).flatMap((row) =>
    typeof row === "object" && row !== null ? [row as Readonly<Record<string, unknown>>] : []
  );
}

/** The addresses that a guard's table lets in; undefined where something is missing of what its lines make. */
export async function observeGuard(
  world: World,
  table: string,
  lines: string,
): Promise<ReadonlySet<string> | undefined> {
  const listed = await listWhole(world, table, lines);
  if (listed === undefined) return undefined;
  const elements = /elements = \{([^}]*)\}/.exec(listed)?.[1] ?? "";
  return new Set(
    elements.split(",").map((one) => parseAddress(one.trim())).filter((one) => one !== undefined),
  );
}

/** What turns one set of addresses that are let in into another. */
export function guardSteps(
  table: string,
  now: ReadonlySet<string>,
  wanted: ReadonlySet<string>,
): readonly Step[] {
  const set = `${table} peers`;
  return setSteps(now, wanted, (key, isNew) => {
    const run = `${isNew ? "add" : "delete"} element ${set} { ${words`${key}`} }`;
    return line("nft", "host", { kind: "element", set, key }, run);
  });
}
