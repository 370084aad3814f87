/** `ip`'s language, as far as ocinet uses it, in one file: objects share the words for links and addresses. */
import { addressOf, contains, family, hostLength, lengthOf, networkOf } from "../../net/address.ts";
import {
  addAddress,
  addLink,
  deleteLink,
  type FakeLink,
  type FakeRoute,
  type Kernel,
  linkAt,
  linkNamed,
  localTable,
  mainTable,
  moveLink,
  type Namespace,
  namespaceOf,
  Refusal,
  removeAddress,
  sameRoute,
  setUp,
} from "./kernel.ts";

/** A word that `ip` cannot parse. It then ends at once with status 255 and names no line of a batch. */
export class BadWord extends Error {}

/** Where a command of `ip` runs. */
export interface Place {
  readonly kernel: Kernel;
  readonly namespace: Namespace;
  /** The inode of the network namespace at a path, or of a process. */
  inodeAt(path: string): number | undefined;
  /** Options before the command. */
  readonly options: readonly string[];
}

/** Runs a command. @returns its output @throws Refusal, BadWord */
export function runIp(place: Place, words: readonly string[]): string {
  const [object, verb = "show", ...rest] = words;
  const action = actions[`${objects[object ?? ""] ?? object} ${verb}`];
  if (!action) throw new BadWord(`Object "${object}" is unknown, try "ip help".`);
  return action(place, rest) ?? "";
}

const objects: Readonly<Record<string, string>> = { addr: "address", tuntap: "tuntap" };

const actions: Readonly<Record<string, (place: Place, words: readonly string[]) => string | void>> = {
  "link add": addLinkBy,
  "link set": setLinkBy,
  "link del": (place, words) =>
    deleteLink(place.kernel, place.namespace, needLink(place, wordAfter(words, "dev"))),
  "link property": addAltName,
  "link show": showLinks,
  "address show": showAddresses,
  "address add": (place, words) => changeAddress(place, words, "add"),
  "address replace": (place, words) => changeAddress(place, words, "replace"),
  "address del": (place, [address, ...words]) =>
    removeAddress(place.namespace, needLink(place, wordAfter(words, "dev")), address!),
  "route add": (place, words) => changeRoute(place, words, "add"),
  "route replace": (place, words) => changeRoute(place, words, "replace"),
  "route del": deleteRoute,
  "route show": showRoutes,
  "route get": getRoute,
  "rule add": (place, words) => changeRule(place, words, "add"),
  "rule del": (place, words) => changeRule(place, words, "del"),
  "rule show": showRules,
  "tuntap add": addTap,
};

function needLink({ namespace }: Place, name: string | undefined): FakeLink {
  const link = linkNamed(namespace, name ?? "");
  if (!link) throw new Refusal(`Cannot find device "${name}"`);
  return link;
}

function wordAfter(words: readonly string[], key: string): string | undefined {
  const at = words.indexOf(key);
  return at < 0 ? undefined : words[at + 1];
}

function needNamespace(place: Place, text: string): Namespace {
  const inode = place.inodeAt(text);
  if (inode === undefined) throw new BadWord(`Error: argument "${text}" is wrong: Invalid "netns" value\n`);
  return namespaceOf(place.kernel, inode);
}

/** The words before `type`, and those after it. */
interface Parts {
  readonly before: readonly string[];
  readonly kind: string;
  readonly behind: readonly string[];
}

function partsOf(words: readonly string[]): Parts {
  const at = words.indexOf("type");
  return { before: words.slice(0, at), kind: words[at + 1] ?? "", behind: words.slice(at + 2) };
}

function addLinkBy(place: Place, words: readonly string[]): void {
  const { kernel, namespace } = place;
  const { before, kind, behind } = partsOf(words);
  const name = wordAfter(before, "name") ?? before[0]!;
  const netns = wordAfter(before, "netns");
  const to = netns === undefined ? namespace : needNamespace(place, netns);
  const lower = wordAfter(before, "link");
  const on = lower === undefined ? undefined : needLink(place, lower);
  const master = wordAfter(before, "master");
  const port = master === undefined ? undefined : needMaster(place, master);
  const peer = behind.slice(behind.indexOf("peer") + 1);
  const peerSpace = kind === "veth" ? peerNamespace(place, peer) : undefined;
  if (peerSpace && linkNamed(peerSpace, wordAfter(peer, "name")!)) {
    throw new Refusal("RTNETLINK answers: File exists");
  }
  if (on && kind === "vlan" && linksOn(place, on).some(hasVlan(wordAfter(behind, "id")!))) {
    throw new Refusal("Error: 8021q: VLAN device already exists.");
  }
  const link = addLink(kernel, to, name, kind === "tap" ? "tun" : kind);
  if (on) {
    Object.assign(link, { lower: { namespace: namespace.inode, index: on.index }, mac: on.mac, mtu: on.mtu });
  }
  setAttributes(link, before);
  if (port) link.master = port.index;
  describe(link, kind, behind);
  if (peerSpace) addPeer(place, { link, to, peer, peerSpace });
  if (before.includes("up")) setUp(to, link, true);
}

/** The links on a link, in whichever namespace they are. */
function linksOn({ kernel, namespace }: Place, { index }: Pick<FakeLink, "index">): readonly FakeLink[] {
  return kernel.namespaces.flatMap(({ links }) => links).filter(({ lower }) =>
    lower?.index === index && lower.namespace === namespace.inode
  );
}

function hasVlan(id: string): (link: FakeLink) => boolean {
  return ({ kind, details }) => kind === "vlan" && details["id"] === Number(id);
}

function needMaster(place: Place, name: string): FakeLink {
  const found = linkNamed(place.namespace, name);
  if (!found) throw new BadWord(`Error: argument "${name}" is wrong: Device does not exist\n`);
  return found;
}

function peerNamespace(place: Place, peer: readonly string[]): Namespace {
  const netns = wordAfter(peer, "netns");
  return netns === undefined ? place.namespace : needNamespace(place, netns);
}

interface Pair {
  readonly link: FakeLink;
  readonly to: Namespace;
  readonly peer: readonly string[];
  readonly peerSpace: Namespace;
}

function addPeer({ kernel }: Place, { link, to, peer, peerSpace }: Pair): void {
  const other = addLink(kernel, peerSpace, wordAfter(peer, "name")!, "veth");
  setAttributes(other, peer);
  link.peer = { namespace: peerSpace.inode, index: other.index };
  other.peer = { namespace: to.inode, index: link.index };
}

function describe(link: FakeLink, kind: string, words: readonly string[]): void {
  if (kind === "macvlan" || kind === "ipvlan") link.details = { mode: wordAfter(words, "mode") };
  if (kind === "vlan") link.details = { id: Number(wordAfter(words, "id")) };
  if (kind === "vrf") link.details = { table: Number(wordAfter(words, "table")) };
  if (kind === "bridge" && words.includes("vlan_filtering")) link.details = { vlan_filtering: 1 };
}

const setters: Readonly<Record<string, (link: FakeLink, value: string) => void>> = {
  address: (link, value) => link.mac = value,
  mtu: (link, value) => link.mtu = Number(value),
  txqueuelen: (link, value) => link.queueLength = Number(value),
  alias: (link, value) => link.alias = value.replace(/^""$/, ""),
  promisc: (link, value) => link.promiscuous = value === "on",
  allmulticast: (link, value) => link.allMulticast = value === "on",
  hairpin: (link, value) => link.hairpin = value === "on",
  isolated: (link, value) => link.isolated = value === "on",
};

function setAttributes(link: FakeLink, words: readonly string[]): void {
  for (const [i, word] of words.entries()) {
    if (Object.hasOwn(setters, word) && !["name", "dev", "link"].includes(words[i - 1]!)) {
      setters[word]!(link, words[i + 1] ?? "");
    }
  }
}

function setLinkBy(place: Place, words: readonly string[]): void {
  const { kernel, namespace } = place;
  const link = needLink(place, wordAfter(words, "dev"));
  const rest = words.slice(words.indexOf("dev") + 2);
  const [name, netns, master] = ["name", "netns", "master"].map((key) => wordAfter(rest, key));
  if (netns !== undefined) {
    const to = needNamespace(place, netns);
    if (to !== namespace) return moveLink(kernel, namespace, link, to, name);
  }
  if (name !== undefined) rename(namespace, link, name);
  if (master !== undefined) link.master = needMaster(place, master).index;
  if (rest.includes("nomaster")) delete link.master;
  setAttributes(link, rest);
  if (rest.includes("up")) setUp(namespace, link, true);
  if (rest.includes("down")) setUp(namespace, link, false);
}

function rename(namespace: Namespace, link: FakeLink, name: string): void {
  if (linkNamed(namespace, name)) throw new Refusal("RTNETLINK answers: File exists");
  link.name = name;
}

function addAltName(place: Place, words: readonly string[]): void {
  const [link, name] = [needLink(place, wordAfter(words, "dev")), wordAfter(words, "altname")!];
  if (linkNamed(place.namespace, name)) throw new Refusal("RTNETLINK answers: File exists");
  link.altNames = [...link.altNames ?? [], name];
}

function changeAddress(place: Place, [address, ...words]: readonly string[], verb: "add" | "replace"): void {
  const link = needLink(place, wordAfter(words, "dev"));
  const text = `${addressOf(address!)}/${lengthOf(address!)}`;
  if (verb === "add" && link.addresses.some((one) => one.address === text)) {
    throw new Refusal("RTNETLINK answers: File exists");
  }
  const { lower } = link;
  const namespace = place.kernel.namespaces.find(({ inode }) => inode === lower?.namespace);
  const beside = link.kind === "ipvlan" && lower && namespace ? linksOn({ ...place, namespace }, lower) : [];
  if (beside.some((one) => one !== link && one.addresses.some(({ address }) => address === text))) {
    throw new Refusal("RTNETLINK answers: Address already in use");
  }
  if (family(text) === 6 && sysctl(place.namespace, link, "ipv6/conf/disable_ipv6") === "1") {
    throw new Refusal("RTNETLINK answers: Permission denied");
  }
  addAddress(place.namespace, link, text, !words.includes("noprefixroute"));
}

function sysctl(_: Namespace, { sysctls }: FakeLink, key: string): string | undefined {
  return sysctls[key];
}

function changeRoute(place: Place, words: readonly string[], verb: "add" | "replace"): void {
  const { namespace } = place;
  const { route, link } = readRoute(place, words);
  if (!link.up) throw new Refusal("Error: Device for nexthop is not up.");
  if (namespace.routes.some((one) => sameRoute(one, route))) {
    if (verb === "add") throw new Refusal("RTNETLINK answers: File exists");
    namespace.routes = namespace.routes.filter((one) => !sameRoute(one, route));
  }
  namespace.routes.push(route);
}

function readRoute(place: Place, words: readonly string[]): { route: FakeRoute; link: FakeLink } {
  const isLocal = words[0] === "local";
  const [dst, ...rest] = isLocal ? words.slice(1) : words;
  const link = needLink(place, wordAfter(rest, "dev"));
  const attributes: (readonly [string, string])[] = [];
  for (let i = 0; i < rest.length; i++) {
    if (rest[i] === "onlink") attributes.push(["onlink", ""]);
    else if (rest[i] === "dev" || rest[i] === "table") i++;
    else attributes.push([rest[i]!, rest[++i] ?? ""]);
  }
  const type = isLocal ? "local" : "unicast";
  return { route: { dst: networkAt(dst!), index: link.index, table: tableAt(rest), type, attributes }, link };
}

function networkAt(dst: string): string {
  const [address] = dst.split("/") as [string];
  return dst.includes("/") ? networkOf(dst) : `${addressOf(address)}/${hostLength(address)}`;
}

function tableAt(words: readonly string[]): number {
  const text = wordAfter(words, "table");
  return text === undefined ? mainTable : text === "local" ? localTable : Number(text);
}

function deleteRoute(place: Place, words: readonly string[]): void {
  const { namespace } = place;
  const { route } = readRoute(place, words);
  const via = route.attributes.find(([word]) => word === "via")?.[1];
  const isIt = (one: FakeRoute) =>
    one.dst === route.dst && one.table === route.table && one.index === route.index &&
    (via === undefined || one.attributes.some(([word, value]) => word === "via" && value === via));
  const at = namespace.routes.findIndex(isIt);
  if (at < 0) throw new Refusal("RTNETLINK answers: No such process");
  namespace.routes.splice(at, 1);
}

function changeRule({ namespace }: Place, words: readonly string[], verb: "add" | "del"): void {
  const [from, table] = [networkAt(wordAfter(words, "from")!), Number(wordAfter(words, "lookup"))];
  const at = namespace.rules.findIndex((rule) => rule.from === from && rule.table === table);
  if (verb === "add" && at >= 0) throw new Refusal("RTNETLINK answers: File exists");
  if (verb === "add") namespace.rules.push({ from, table });
  else if (at < 0) throw new Refusal("RTNETLINK answers: No such file or directory");
  else namespace.rules.splice(at, 1);
}

function addTap({ kernel, namespace }: Place, words: readonly string[]): void {
  const link = addLink(kernel, namespace, wordAfter(words, "name")!, "tun");
  link.details = { type: "tap", multi_queue: words.includes("multi_queue") };
}

// Commands that print.

function showLinks(place: Place, words: readonly string[]): string {
  const { namespace, options } = place;
  const name = wordAfter(words, "dev");
  if (name !== undefined && !linkNamed(namespace, name)) {
    throw new Refusal(`Device "${name}" does not exist.`);
  }
  const master = wordAfter(words, "master");
  const on = master === undefined ? undefined : linkNamed(namespace, master)?.index;
  const found = namespace.links.filter((link) =>
    (name === undefined || link.name === name) && (on === undefined || link.master === on)
  );
  const statistics = (link: FakeLink) => options.includes("-s") ? { stats64: link.counters } : {};
  if (isJson(options)) {
    return `${JSON.stringify(found.map((link) => ({ ...linkRow(place, link), ...statistics(link) })))}\n`;
  }
  return found.map(({ index, name }) => `${index}: ${name}: <>\n`).join("");
}

function linkRow({ namespace, kernel }: Place, link: FakeLink): Record<string, unknown> {
  const { index, name, mac, mtu, queueLength, alias, kind, details, up, promiscuous, allMulticast } = link;
  const far = link.peer ?? link.lower;
  const here = far?.namespace === namespace.inode ? linkAt(namespace, far.index)?.name : undefined;
  const flags = [["UP", up], ["PROMISC", promiscuous], ["ALLMULTI", allMulticast]] as const;
  return {
    ...{ ifindex: index, ifname: name, mtu, txqlen: queueLength, address: mac },
    flags: flags.flatMap(([flag, set]) => set ? [flag] : []),
    ...(far === undefined ? {} : here === undefined ? { link_index: far.index } : { link: here }),
    ...(alias === "" ? {} : { ifalias: alias }),
    ...(link.altNames === undefined ? {} : { altnames: link.altNames }),
    ...(link.master === undefined
      ? {}
      : { master: linkAt(namespaceOf(kernel, namespace.inode), link.master)?.name }),
    ...(link.hardware ? { parentdev: "0000:00:03.0" } : {}),
    linkinfo: {
      ...(kind === "" ? {} : { info_kind: kind, info_data: details }),
      ...(link.master === undefined
        ? {}
        : { info_slave_kind: "bridge", info_slave_data: { hairpin: link.hairpin, isolated: link.isolated } }),
    },
  };
}

function showAddresses(place: Place, words: readonly string[]): string {
  const { namespace, options } = place;
  const name = wordAfter(words, "dev");
  if (name !== undefined && !linkNamed(namespace, name)) {
    throw new Refusal(`Device "${name}" does not exist.`);
  }
  const kind = wordAfter(words, "type");
  const links = namespace.links.filter((link) =>
    (name === undefined || link.name === name) && (kind === undefined || link.kind === kind)
  );
  if (!isJson(options)) {
    return links.flatMap(({ index, name, addresses }) =>
      addresses.map(({ address }) =>
        `${index}: ${name}    inet${family(address) === 6 ? "6" : ""} ${address} scope global\n`
      )
    ).join("");
  }
  const rows = links.map((link) => ({
    ...linkRow(place, link),
    addr_info: link.addresses.map(({ address }) => ({
      ...{ local: addressOf(address), prefixlen: lengthOf(address), scope: "global" },
    })),
  }));
  return `${JSON.stringify(rows)}\n`;
}

function isJson(options: readonly string[]): boolean {
  return options.includes("-j") || options.includes("-json");
}

function familyOf(options: readonly string[]): 4 | 6 | undefined {
  return options.includes("-6") ? 6 : options.includes("-4") ? 4 : undefined;
}

const jsonNames: Readonly<Record<string, string>> = { via: "gateway", proto: "protocol", src: "prefsrc" };

function showRoutes({ namespace, options }: Place, words: readonly string[]): string {
  const of = familyOf(options) ?? 4;
  const [all, dev] = [words.includes("all"), wordAfter(words, "dev")];
  const index = dev === undefined ? undefined : linkNamed(namespace, dev)?.index;
  const found = namespace.routes.filter((route) =>
    family(route.dst) === of && (all || route.table === mainTable) &&
    (dev === undefined || route.index === index) &&
    (!words.includes("default") || lengthOf(route.dst) === 0)
  );
  const dst = (text: string) =>
    lengthOf(text) === 0 ? "default" : lengthOf(text) === hostLength(text) ? addressOf(text) : text;
  if (!isJson(options)) {
    return found.map((route) => `${dst(route.dst)} dev ${linkAt(namespace, route.index)?.name} \n`).join("");
  }
  const rows = found.map(({ table, type, attributes, ...route }) => ({
    ...{ type, dst: dst(route.dst), dev: linkAt(namespace, route.index)?.name },
    ...(table === mainTable ? {} : { table: table === localTable ? "local" : table }),
    ...Object.fromEntries(attributes.map(([word, value]) => [jsonNames[word] ?? word, value])),
  }));
  return `${JSON.stringify(rows)}\n`;
}

function getRoute({ namespace }: Place, words: readonly string[]): string {
  const [address, isMatch] = [words.at(-1), words[0] === "fibmatch"];
  const isOwn = namespace.links.some(({ addresses }) =>
    addresses.some((one) => addressOf(one.address) === address)
  );
  const found = namespace.routes.filter(({ dst, table }) => table === mainTable && contains(dst, address!))
    .toSorted((a, b) => lengthOf(b.dst) - lengthOf(a.dst))[0];
  if (!isOwn && !found) throw new Refusal("RTNETLINK answers: Network is unreachable");
  const dev = isOwn ? "lo" : linkAt(namespace, found!.index)?.name;
  const dst = !isMatch || isOwn ? address : lengthOf(found!.dst) === 0 ? "default" : found!.dst;
  const gateway = isOwn ? undefined : found!.attributes.find(([word]) => word === "via")?.[1];
  const by = { dev, ...(gateway === undefined ? {} : { gateway }) };
  return `${JSON.stringify([{ type: isOwn ? "local" : "unicast", dst, ...by, flags: [] }])}\n`;
}

function showRules({ namespace, options }: Place): string {
  const of = familyOf(options) ?? 4;
  const own = namespace.rules.filter(({ from }) => family(from) === of);
  const rows = [
    { priority: 0, src: "all", table: "local" },
    ...own.map(({ from, table }) => ({
      ...{ priority: 32765, src: addressOf(from), table },
      ...(lengthOf(from) === hostLength(from) ? {} : { srclen: lengthOf(from) }),
    })),
    { priority: 32766, src: "all", table: "main" },
  ];
  return `${JSON.stringify(rows)}\n`;
}
