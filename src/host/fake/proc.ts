/** The /proc and /sys of the model kernel, for reading and writing. */
import { addressOf, family, lengthOf, toNumber } from "../../net/address.ts";
import {
  attributeOf,
  type FakeLink,
  type FakeProcess,
  type FakeRoute,
  type Kernel,
  linkAt,
  linkNamed,
  mainTable,
  type Namespace,
  namespaceOf,
} from "./kernel.ts";
import { failure } from "./tree.ts";

/** The text of a file, the names in a directory, or the target of a link. */
export type Shown =
  | { readonly kind: "file"; readonly text: string }
  | { readonly kind: "directory"; readonly names: readonly string[] }
  | { readonly kind: "link"; readonly to: string }
  | { readonly kind: "pipe" }
  | { readonly kind: "namespace"; readonly type: "net" | "user"; readonly inode: number };

/** Whether a path belongs to the kernel's file systems. */
export function isKernels(path: string): boolean {
  return /^\/(proc|sys)(\/|$)/.test(path);
}

/** The contents of a path in /proc or /sys; undefined if it does not exist. */
export function show(kernel: Kernel, self: FakeProcess, path: string): Shown | undefined {
  const [, top, ...rest] = path.split("/");
  const host = namespaceOf(kernel, kernel.own);
  if (top === "sys") {
    return rest[0] === "class" && rest[1] === "net" ? showSys(host, rest.slice(2)) : undefined;
  }
  if (rest.length === 0) return directory(kernel.processes.map(({ pid }) => String(pid)));
  if (rest[0] === "sys") return showSysctl(kernel, host, rest.slice(1).join("/"));
  const found = rest[0] === "self" ? self : kernel.processes.find(({ pid }) => String(pid) === rest[0]);
  return found && showProcess(kernel, found, rest.slice(1));
}

/** There is a directory for each link. */
function showSysctl(kernel: Kernel, host: Namespace, key: string): Shown | undefined {
  const name = /^net\/ipv[46]\/conf\/([^/]+)$/.exec(key)?.[1];
  if (name !== undefined) return linkNamed(host, name) && directory([]);
  return file(readSysctl(kernel, host.inode, key));
}

function file(text: string | undefined): Shown | undefined {
  return text === undefined ? undefined : { kind: "file", text };
}

function directory(names: readonly string[]): Shown {
  return { kind: "directory", names };
}

function showProcess(
  kernel: Kernel,
  one: FakeProcess,
  [name, leaf]: readonly string[],
): Shown | undefined {
  const { pid, startTime, cmdline, group } = one;
  const namespace = namespaceOf(kernel, one.namespace);
  switch (name) {
    case undefined:
      return directory(["stat", "cmdline"]);
    case "stat":
      return file(`${pid} (a b) S 1 ${group} ${group} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${startTime} 0 0\n`);
    case "cmdline":
      return file(`${cmdline.replaceAll(" ", "\0")}\0`);
    case "comm":
      return file(`${cmdline.split(" ")[0]}\n`);
    case "status":
      return file("SigBlk:\t0000000000000000\n");
    case "uid_map":
      return file("         0          0 4294967295\n");
    case "mountinfo":
      return file(
        Object.entries(kernel.mounts).map(([path, inode]) =>
          `1 1 0:4 net:[${inode}] ${path} rw - nsfs nsfs rw\n`
        )
          .join(""),
      );
    case "cwd":
      return { kind: "link", to: "/own" };
    case "ns":
      if (leaf === "net") return { kind: "namespace", type: "net", inode: one.namespace };
      return leaf === "user" ? { kind: "namespace", type: "user", inode: 4026531837 } : undefined;
    case "net":
      return file(tables[leaf ?? ""]?.(namespace));
    default:
      return undefined;
  }
}

/** The files of /proc/PID/net. */
const tables: Readonly<Record<string, (namespace: Namespace) => string>> = {
  dev: ({ links }) => `a\nb\n${links.map(({ name }) => `  ${name}: 0\n`).join("")}`,
  igmp: ({ links }) => links.map(({ index, name }) => `${index}\t${name}      :     1      V3\n`).join(""),
  dev_mcast: () => "",
  route: (namespace) =>
    `Iface\n${
      namespace.routes.filter(({ dst, table }) => family(dst) === 4 && table === mainTable)
        .map((route) => routeRow(namespace, route)).join("")
    }`,
  if_inet6: ({ links }) =>
    links.flatMap((link) =>
      link.addresses.filter(({ address }) => family(address) === 6).map(({ address }) =>
        `${hex6(address)} ${hex(link.index)} ${hex(lengthOf(address))} ${
          link.name === "lo" ? "10" : "00"
        } 80 ${link.name}\n`
      )
    ).join(""),
  ipv6_route: (namespace) =>
    namespace.routes.filter(({ dst, table }) => family(dst) === 6 && table === mainTable).map((
      { dst, index },
    ) =>
      `${hex6(dst)} ${hex(lengthOf(dst))} ${"0".repeat(32)} 00 ${
        "0".repeat(32)
      } 00000400 00000001 00000000 00000001 ${linkAt(namespace, index)?.name}\n`
    ).join(""),
  fib_trie: ({ links }) =>
    links.flatMap(({ addresses, up }) => up ? addresses : []).filter(({ address }) => family(address) === 4)
      .map(({ address }) => `           |-- ${addressOf(address)}\n              /32 host LOCAL\n`).join(""),
  tcp: () => "",
  tcp6: () => "",
  udp: () => "",
  udp6: () => "",
};

function hex(number: number): string {
  return number.toString(16).padStart(2, "0");
}

function hex6(address: string): string {
  return toNumber(addressOf(address)).toString(16).padStart(32, "0");
}

/** The bytes in memory order. */
function hex4(number: bigint): string {
  return number.toString(16).padStart(8, "0").match(/../g)!.reverse().join("").toUpperCase();
}

function routeRow(namespace: Namespace, route: FakeRoute): string {
  const via = attributeOf(route, "via");
  const mask = lengthOf(route.dst) === 0
    ? 0n
    : (2n ** 32n - 1n) ^ (2n ** BigInt(32 - lengthOf(route.dst)) - 1n);
  const words = [
    linkAt(namespace, route.index)?.name,
    hex4(toNumber(addressOf(route.dst))),
    hex4(via === undefined ? 0n : toNumber(via)),
    ...["0001", "0", "0", attributeOf(route, "metric") ?? "0"],
    ...[hex4(mask), "0", "0", "0"],
  ];
  return `${words.join("\t")}\n`;
}

function showSys(namespace: Namespace, [name, leaf, inner]: readonly string[]): Shown | undefined {
  if (name === undefined) return directory(namespace.links.map((link) => link.name));
  const link = linkNamed(namespace, name);
  if (!link) return undefined;
  if (leaf === undefined) return directory(["ifindex", "address"]);
  if (leaf === "master") {
    const master = linkAt(namespace, link.master);
    return master && { kind: "link", to: `../../net/${master.name}` };
  }
  if (leaf === "brif") {
    if (link.kind !== "bridge") return undefined;
    const ports = namespace.links.filter(({ master }) => master === link.index);
    return inner === undefined ? directory(ports.map((port) => port.name)) : undefined;
  }
  if (leaf === "device") return link.hardware ? directory([]) : undefined;
  return file(attributesOf(link)[inner === undefined ? leaf : `${leaf}/${inner}`]);
}

function attributesOf(link: FakeLink): Readonly<Record<string, string>> {
  const flags = 0x1002 | (link.up ? 1 : 0) | (link.promiscuous ? 0x100 : 0) | (link.allMulticast ? 0x200 : 0);
  const isPort = link.master !== undefined;
  return {
    ...{
      ifindex: `${link.index}\n`,
      address: `${link.mac}\n`,
      mtu: `${link.mtu}\n`,
      ifalias: `${link.alias}\n`,
    },
    ...{ flags: `0x${flags.toString(16)}\n`, tx_queue_len: `${link.queueLength}\n` },
    uevent: ["bridge", "vlan"].includes(link.kind) ? `DEVTYPE=${link.kind}\nINTERFACE=${link.name}\n` : "",
    ...(isPort
      ? {
        "brport/hairpin_mode": `${link.hairpin ? 1 : 0}\n`,
        "brport/isolated": `${link.isolated ? 1 : 0}\n`,
      }
      : {}),
  };
}

/** The defaults of sysctls that belong to no link. */
const defaults: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "0",
  "net/ipv4/ip_nonlocal_bind": "0",
  "net/ipv6/ip_nonlocal_bind": "0",
  "net/ipv4/ip_unprivileged_port_start": "1024",
  "net/ipv6/conf/all/forwarding": "0",
  "net/ipv6/conf/all/disable_ipv6": "0",
  "net/core/somaxconn": "4096",
};

/** The defaults of a link's sysctls, on a host that forwards. */
const linkDefaults: Readonly<Record<string, string>> = {
  ...{ "ipv4/conf/arp_notify": "0", "ipv4/conf/arp_filter": "0", "ipv4/conf/route_localnet": "0" },
  ...{ "ipv4/conf/rp_filter": "0", "ipv6/conf/ndisc_notify": "0", "ipv6/conf/accept_ra": "1" },
  ...{ "ipv6/conf/accept_dad": "1", "ipv6/conf/enhanced_dad": "1", "ipv6/conf/disable_ipv6": "0" },
  ...{ "ipv6/conf/keep_addr_on_down": "0", "ipv4/conf/forwarding": "1" },
};

const ofLink = /^net\/(ipv[46]\/(?:conf|neigh))\/([^/]+)\/([^/]+)$/;

/** A sysctl's value in a namespace, with a newline; undefined if it does not exist. */
export function readSysctl(kernel: Kernel, inode: number, key: string): string | undefined {
  if (key === "kernel/random/boot_id") return `${kernel.bootId}\n`;
  const namespace = namespaceOf(kernel, inode);
  const value = namespace.sysctls[key] ?? defaults[key];
  if (value !== undefined) return `${value}\n`;
  const [, kind, name, leaf] = ofLink.exec(key) ?? [];
  const link = linkNamed(namespace, name ?? "");
  const own = link && (link.sysctls[`${kind}/${leaf}`] ?? linkDefaults[`${kind}/${leaf}`]);
  return own === undefined ? undefined : `${own}\n`;
}

/** Sets a sysctl. @throws Error if it does not exist */
export function writeSysctl(kernel: Kernel, inode: number, key: string, value: string): void {
  if (readSysctl(kernel, inode, key) === undefined) {
    throw failure("ENOENT", "no such file or directory", `/proc/sys/${key}`);
  }
  const namespace = namespaceOf(kernel, inode);
  const [, kind, name, leaf] = Object.hasOwn(defaults, key) ? [] : ofLink.exec(key) ?? [];
  const link = linkNamed(namespace, name ?? "");
  if (link) set(link.sysctls, `${kind}/${leaf}`, value, linkDefaults[`${kind}/${leaf}`]);
  else set(namespace.sysctls, key, value, defaults[key]);
}

/** Stores a value. Defaults are not stored. */
function set(values: Record<string, string>, key: string, value: string, usual: string | undefined): void {
  if (value.trim() === usual) delete values[key];
  else values[key] = value.trim();
}
