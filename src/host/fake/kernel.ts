/**
 * A small model of the kernel's networking: network namespaces with their contents, and processes. It is plain data, and
 * in one file what changes it.
 */
import { addressOf, family, hostLength, lengthOf, networkOf } from "../../net/address.ts";

/** The other end of a veth, or the link below a link: its namespace and index. */
export interface Far {
  readonly namespace: number;
  readonly index: number;
}

/** A link. */
export interface FakeLink {
  index: number;
  name: string;
  kind: string;
  mac: string;
  mtu: number;
  up: boolean;
  alias: string;
  /** Its alternative names. */
  altNames?: string[];
  queueLength: number;
  promiscuous: boolean;
  allMulticast: boolean;
  hairpin: boolean;
  isolated: boolean;
  /** It moves to the initial namespace when its own ends. */
  hardware: boolean;
  /** The index of the bridge or VRF that is its master. */
  master?: number;
  /** The other end of a veth. */
  peer?: Far;
  /** The link below it. */
  lower?: Far;
  addresses: FakeAddress[];
  /** The attributes of its kind, in `ip`'s words. */
  details: Record<string, unknown>;
  /** What went through it; a test sets them. */
  counters: Record<"rx" | "tx", { bytes: number; packets: number; dropped: number }>;
  /** The flags of a bridge port's VLANs, by id. */
  vlans: Record<string, string>;
  /** The qdiscs, by parent. */
  queues: Record<string, string>;
  filters: string[];
  /** Its sysctls that are not at their defaults, by name, e.g. "ipv4/conf/arp_notify". */
  sysctls: Record<string, string>;
}

/** An address of a link, with its prefix length. */
export interface FakeAddress {
  readonly address: string;
  readonly routed: boolean;
}

/** A route. The words are those of `ip route` after link and table. */
export interface FakeRoute {
  readonly dst: string;
  readonly index: number;
  readonly table: number;
  readonly type: string;
  readonly attributes: readonly (readonly [string, string])[];
}

/** A policy routing rule with a table. */
export interface FakeRule {
  readonly from: string;
  readonly table: number;
}

/** A set or map of nft, or a chain. */
export interface FakeTable {
  readonly chains: Record<string, { spec: string; rules: string[] }>;
  readonly sets: Record<string, { spec: string; isMap: boolean; elements: FakeElements }>;
}

/** Elements by key: the value in a map, and the comment; "" for none. */
export type FakeElements = Record<string, { readonly value: string; readonly comment: string }>;

/** An element as nft prints it. */
export function showElement(key: string, { value, comment }: FakeElements[string]): string {
  return `${key}${comment === "" ? "" : ` comment "${comment}"`}${value === "" ? "" : ` : ${value}`}`;
}

/** A network namespace. */
export interface Namespace {
  readonly inode: number;
  links: FakeLink[];
  routes: FakeRoute[];
  rules: FakeRule[];
  /** The sysctls that are not at their defaults, by path below /proc/sys. */
  sysctls: Record<string, string>;
  /** The tables, by family and name: "inet ocinet". */
  tables: Record<string, FakeTable>;
}

/** A process. */
export interface FakeProcess {
  readonly pid: number;
  readonly startTime: number;
  readonly cmdline: string;
  readonly namespace: number;
  readonly group: number;
}

/** The whole state. */
export interface Kernel {
  bootId: string;
  namespaces: Namespace[];
  processes: FakeProcess[];
  /** Mounted namespaces: inode by path. */
  mounts: Record<string, number>;
  /** UDP flows, as conntrack prints them. */
  flows: string[];
  nextIndex: number;
  nextNamespace: number;
  nextPid: number;
  /** The namespace of the process under test. */
  own: number;
}

/** The error of a call that the kernel refuses. */
export class Refusal extends Error {}

export const [mainTable, localTable] = [254, 255];

export function newKernel(): Kernel {
  const kernel: Kernel = {
    bootId: "00000000-0000-4000-8000-000000000000",
    ...{ namespaces: [], processes: [], mounts: {}, flows: [] },
    ...{ nextIndex: 2, nextNamespace: 4026531840, nextPid: 4242, own: 4026531840 },
  };
  const host = addNamespace(kernel);
  setUp(host, host.links[0]!, true);
  return kernel;
}

/** A namespace with only its loopback link, which is down. */
export function addNamespace(kernel: Kernel): Namespace {
  const inode = kernel.nextNamespace++;
  const lo = { ...newLink(1, "lo", ""), mac: "00:00:00:00:00:00", mtu: 65536 };
  const namespace = { inode, links: [lo], routes: [], rules: [], sysctls: {}, tables: {} };
  kernel.namespaces.push(namespace);
  return namespace;
}

export function namespaceOf(kernel: Kernel, inode: number): Namespace {
  return kernel.namespaces.find((one) => one.inode === inode)!;
}

/** Starts a process in a namespace. */
export function startProcess(
  kernel: Kernel,
  cmdline: string,
  namespace: number,
  group?: number,
): FakeProcess {
  const pid = kernel.nextPid++;
  const process = { pid, startTime: pid * 7, cmdline, namespace, group: group ?? pid };
  kernel.processes.push(process);
  return process;
}

/** Ends processes, and namespaces that are then unused. */
export function endProcesses(kernel: Kernel, isOne: (process: FakeProcess) => boolean): boolean {
  const before = kernel.processes.length;
  kernel.processes = kernel.processes.filter((process) => !isOne(process));
  endNamespaces(kernel);
  return kernel.processes.length < before;
}

/** Unmounts a namespace. */
export function unmount(kernel: Kernel, path: string): void {
  delete kernel.mounts[path];
  endNamespaces(kernel);
}

function endNamespaces(kernel: Kernel): void {
  const kept = new Set([
    kernel.namespaces[0]!.inode,
    kernel.own,
    ...Object.values(kernel.mounts),
    ...kernel.processes.map(({ namespace }) => namespace),
  ]);
  for (const namespace of kernel.namespaces.filter(({ inode }) => !kept.has(inode))) {
    for (const link of [...namespace.links]) {
      if (link.hardware) returnLink(kernel, namespace, link);
      else deleteLink(kernel, namespace, link);
    }
    kernel.namespaces = kernel.namespaces.filter((one) => one !== namespace);
  }
}

/** Returns a link to the initial namespace, under another name if its own is in use (default_device_exit_net). */
function returnLink(kernel: Kernel, from: Namespace, link: FakeLink): void {
  const [to] = kernel.namespaces as [Namespace];
  moveLink(kernel, from, link, to, linkNamed(to, link.name) ? `dev${link.index}` : link.name);
}

export function newLink(index: number, name: string, kind: string): FakeLink {
  return {
    ...{ index, name, kind, mac: madeUp(index), mtu: 1500, up: false, alias: "", queueLength: 1000 },
    ...{ promiscuous: false, allMulticast: false, hairpin: false, isolated: false, hardware: false },
    counters: { rx: { bytes: 0, packets: 0, dropped: 0 }, tx: { bytes: 0, packets: 0, dropped: 0 } },
    ...{ addresses: [], details: {}, vlans: {}, queues: {}, filters: [], sysctls: {} },
  };
}

function madeUp(index: number): string {
  return `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${
    (index & 255).toString(16).padStart(2, "0")
  }`;
}

export function linkNamed({ links }: Namespace, name: string): FakeLink | undefined {
  return links.find((link) => link.name === name || link.altNames?.includes(name));
}

export function linkAt({ links }: Namespace, index: number | undefined): FakeLink | undefined {
  return links.find((link) => link.index === index);
}

/** Adds a link to a namespace. */
export function addLink(kernel: Kernel, namespace: Namespace, name: string, kind: string): FakeLink {
  if (linkNamed(namespace, name)) throw new Refusal("RTNETLINK answers: File exists");
  const link = newLink(kernel.nextIndex++, name, kind);
  namespace.links.push(link);
  return link;
}

/** Deletes a link, its veth peer, the links on it, and everything that belongs to it. */
export function deleteLink(kernel: Kernel, namespace: Namespace, link: FakeLink): void {
  if (!namespace.links.includes(link)) return;
  namespace.links = namespace.links.filter((one) => one !== link);
  dropRoutes(namespace, link);
  for (const other of namespace.links) if (other.master === link.index) delete other.master;
  const isBound = ({ peer, lower }: FakeLink) =>
    [peer, lower].some((far) => far?.index === link.index && far.namespace === namespace.inode);
  for (const space of kernel.namespaces) {
    for (const other of space.links.filter(isBound)) deleteLink(kernel, space, other);
  }
}

/** Moves a link to another namespace. It loses its addresses, routes, qdiscs and master. */
export function moveLink(
  kernel: Kernel,
  from: Namespace,
  link: FakeLink,
  to: Namespace,
  name = link.name,
): void {
  if (linkNamed(to, name)) throw new Refusal("RTNETLINK answers: File exists");
  dropRoutes(from, link);
  from.links = from.links.filter((one) => one !== link);
  for (const space of kernel.namespaces) {
    for (const other of space.links) {
      for (const key of ["peer", "lower"] as const) {
        const far = other[key];
        if (far?.index === link.index && far.namespace === from.inode) {
          other[key] = { namespace: to.inode, index: link.index };
        }
      }
    }
  }
  delete link.master;
  Object.assign(link, { name, up: false, addresses: [], queues: {}, filters: [], sysctls: {}, vlans: {} });
  to.links.push(link);
}

function dropRoutes(namespace: Namespace, { index }: FakeLink): void {
  namespace.routes = namespace.routes.filter((route) => route.index !== index);
}

/**
 * Sets a link up or down. Its routes are made when it goes up. Its routes and IPv6 addresses are removed when it goes
 * down.
 */
export function setUp(namespace: Namespace, link: FakeLink, up: boolean): void {
  if (link.up === up) return;
  link.up = up;
  if (!up) {
    dropRoutes(namespace, link);
    const kept = link.sysctls["ipv6/conf/keep_addr_on_down"] === "1";
    link.addresses = link.addresses.filter(({ address }) => kept || family(address) === 4);
    return;
  }
  if (link.name === "lo") {
    for (const address of ["127.0.0.1/8", "::1/128"]) addAddress(namespace, link, address);
  }
  link.addresses.forEach((address) => connect(namespace, link, address));
}

/** Adds an address to a link. An address that it has already is unchanged. */
export function addAddress(namespace: Namespace, link: FakeLink, address: string, routed = true): void {
  const text = `${addressOf(address)}/${lengthOf(address)}`;
  if (link.addresses.some((one) => one.address === text)) return;
  const added = { address: text, routed };
  link.addresses.push(added);
  if (link.up) connect(namespace, link, added);
}

function connect(namespace: Namespace, { index }: FakeLink, { address, routed }: FakeAddress): void {
  if (!routed || lengthOf(address) === hostLength(address)) return;
  const of4 = family(address) === 4;
  const attributes = of4
    ? [["proto", "kernel"], ["scope", "link"], ["src", addressOf(address)]] as const
    : [["proto", "kernel"], ["metric", "256"]] as const;
  const route = { dst: networkOf(address), index, table: mainTable, type: "unicast", attributes };
  if (!namespace.routes.some((one) => sameRoute(one, route))) namespace.routes.push(route);
}

/** Removes an address from a link, with the routes that use it as source. */
export function removeAddress(namespace: Namespace, link: FakeLink, address: string): void {
  const text = `${addressOf(address)}/${lengthOf(address)}`;
  if (!link.addresses.some((one) => one.address === text)) {
    throw new Refusal("Error: ipv4: Address not found.");
  }
  link.addresses = link.addresses.filter((one) => one.address !== text);
  namespace.routes = namespace.routes.filter((route) =>
    route.index !== link.index ||
    (route.dst !== networkOf(text) && attributeOf(route, "src") !== addressOf(text))
  );
}

export function attributeOf({ attributes }: FakeRoute, word: string): string | undefined {
  return attributes.find(([name]) => name === word)?.[1];
}

/** Whether the kernel treats two routes as the same. */
export function sameRoute(a: FakeRoute, b: FakeRoute): boolean {
  return a.dst === b.dst && a.table === b.table && attributeOf(a, "metric") === attributeOf(b, "metric") &&
    (family(a.dst) === 4 || a.index === b.index);
}

/**
 * The whole state as text, one object a line, with names for inodes and indexes. Two kernels with the same text are
 * equal for every observer.
 */
export function kernelLines(kernel: Kernel): readonly string[] {
  return kernel.namespaces.flatMap((namespace) => {
    const at = nameOfNamespace(kernel, namespace);
    return [
      ...namespace.links.flatMap((link) => linkLines(kernel, namespace, link)),
      ...namespace.routes.map((route) =>
        `route ${route.type} ${route.dst} dev ${linkAt(namespace, route.index)?.name} table ${route.table} ` +
        route.attributes.flat().join(" ")
      ),
      ...namespace.rules.map(({ from, table }) => `rule from ${from} lookup ${table}`),
      ...Object.entries(namespace.sysctls).map(([key, value]) => `sysctl ${key} = ${value}`),
      ...Object.entries(namespace.tables).flatMap(([name, table]) => tableLines(name, table)),
    ].map((line) => `${at}: ${line}`);
  }).concat(
    kernel.processes.map(({ pid, cmdline }) => `process ${pid} ${cmdline}`),
    kernel.flows.map((flow) => `flow ${flow}`),
  );
}

function nameOfNamespace(kernel: Kernel, { inode }: Namespace): string {
  if (inode === kernel.own) return "host";
  return Object.keys(kernel.mounts).find((path) => kernel.mounts[path] === inode) ?? `net:[${inode}]`;
}

function linkLines(kernel: Kernel, namespace: Namespace, link: FakeLink): readonly string[] {
  const { index: _, name, addresses, vlans, queues, filters, sysctls, master, peer, lower, ...rest } = link;
  const other = (far: Far | undefined) => {
    const space = far && kernel.namespaces.find(({ inode }) => inode === far.namespace);
    return space && `${nameOfNamespace(kernel, space)} ${linkAt(space, far!.index)?.name}`;
  };
  const about = { ...rest, master: linkAt(namespace, master)?.name, peer: other(peer), lower: other(lower) };
  return [
    `link ${name} ${JSON.stringify(about)}`,
    ...addresses.map(({ address, routed }) =>
      `address ${address} dev ${name}${routed ? "" : " noprefixroute"}`
    ),
    ...Object.entries(vlans).map(([id, flags]) => `vlan ${id} dev ${name} ${flags}`),
    ...Object.entries(queues).map(([parent, queue]) => `qdisc ${parent} dev ${name} ${queue}`),
    ...filters.map((filter) => `filter dev ${name} ${filter}`),
    ...Object.entries(sysctls).map(([key, value]) => `sysctl ${key} of ${name} = ${value}`),
  ];
}

function tableLines(name: string, { chains, sets }: FakeTable): readonly string[] {
  return [
    `table ${name}`,
    ...Object.entries(chains).flatMap(([chain, { spec, rules }]) => [
      `chain ${name} ${chain} ${spec}`,
      ...rules.map((rule) => `rule ${name} ${chain} ${rule}`),
    ]),
    ...Object.entries(sets).flatMap(([set, { spec, elements }]) => [
      `set ${name} ${set} ${spec}`,
      ...Object.entries(elements).map(([key, element]) =>
        `element ${name} ${set} { ${showElement(key, element)} }`
      ),
    ]),
  ];
}
