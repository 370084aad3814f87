import { family, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import { CniError } from "./error.ts";
import { type Fields, fields } from "./fields.ts";

/** An interface of a result. Without `sandbox` it is on the host. */
export interface Interface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

/** An address with the prefix length of its subnet. `interface` is an index into the result's interfaces. */
export interface Ip {
  readonly address: string;
  readonly gateway?: string;
  readonly interface?: number;
}

/** A route. Without `gw` it uses the interface's gateway of that family. */
export interface Route {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

/** DNS settings in CNI's shape. */
export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** The result of an ADD, in the shape of CNI 1.1.0. Other versions are converted to and from it. */
export interface Result {
  readonly interfaces: readonly Interface[];
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** The versions of CNI, oldest first. */
export const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** The version of a configuration that names none. */
export const oldestVersion = "0.1.0";

/** An empty result. */
export const emptyResult: Result = { interfaces: [], ips: [], routes: [], dns: {} };

/** Whether version `a` is `b` or later. Both must be in `versions`. */
export function atLeast(a: string, b: string): boolean {
  return versions.indexOf(a as typeof versions[number]) >= versions.indexOf(b as typeof versions[number]);
}

/**
 * The result as a JSON value for a version of the specification.
 * @throws CniError code 1 for an unknown version; code 999 if version 0.1.0 or 0.2.0 is asked for and the result has no
 * addresses
 */
export function resultFor(version: string, result: Result): Record<string, unknown> {
  if (!versions.includes(version as typeof versions[number])) {
    throw new CniError("incompatibleVersion", `unsupported CNI result version "${version}"`);
  }
  const told = { ...result, dns: withoutEmpty(result.dns) };
  if (!atLeast(version, "0.3.0")) return resultBefore030(version, told);
  return atLeast(version, "1.0.0") ? resultSince100(version, told) : resultBefore100(version, told);
}

/** Leaves out empty fields, as Go does ("omitempty"). */
function withoutEmpty(dns: Dns): Dns {
  return Object.fromEntries(
    Object.entries(dns).filter(([, value]) => value !== undefined && value.length > 0),
  );
}

function resultSince100(version: string, { interfaces, ips, routes, dns }: Result): Record<string, unknown> {
  return {
    cniVersion: version,
    ...(hasDns(dns) ? { dns } : {}),
    ...(interfaces.length > 0 ? { interfaces } : {}),
    ...(ips.length > 0 ? { ips } : {}),
    ...(routes.length > 0 ? { routes } : {}),
  };
}

function resultBefore100(version: string, { interfaces, ips, routes, dns }: Result): Record<string, unknown> {
  return {
    cniVersion: version,
    ...(interfaces.length > 0
      ? { interfaces: interfaces.map(({ name, mac, sandbox }) => ({ name, mac, sandbox })) }
      : {}),
    ...(ips.length > 0
      ? {
        ips: ips.map((ip) => ({
          version: String(family(ip.address)),
          interface: ip.interface,
          address: ip.address,
          gateway: ip.gateway,
        })),
      }
      : {}),
    ...(routes.length > 0 ? { routes } : {}),
    dns,
  };
}

function resultBefore030(version: string, { ips, routes, dns }: Result): Record<string, unknown> {
  const part = (of: 4 | 6) => {
    const ip = ips.find((ip) => family(ip.address) === of);
    if (!ip) return undefined;
    const own = routes.filter((route) => family(route.dst) === of).map(({ dst, gw }) => ({ dst, gw }));
    return { ip: ip.address, gateway: ip.gateway, ...(own.length > 0 ? { routes: own } : {}) };
  };
  const [ip4, ip6] = [part(4), part(6)];
  if (!ip4 && !ip6) throw new CniError("internal", "cannot convert: no valid IP addresses");
  return { cniVersion: version, ip4, ip6, dns };
}

/**
 * Reads a result of any version.
 * @param json the parsed value
 * @param version the version of a result that has no `cniVersion`
 * @throws CniError code 1 for an unknown version, code 6 for an invalid address, prefix or DNS word
 */
export function parseResult(json: unknown, version: string): Result {
  const result = fields(json, "result");
  const own = result.string("cniVersion") ?? version;
  if (!versions.includes(own as typeof versions[number])) {
    throw new CniError("incompatibleVersion", `unsupported CNI result version "${own}"`);
  }
  const dns = parseDns(result.object("dns"));
  if (!atLeast(own, "0.3.0")) return { ...parseOldIps(result), dns };
  return {
    interfaces: result.objects("interfaces")?.map(parseInterface) ?? [],
    ips: result.objects("ips")?.map(parseIp) ?? [],
    routes: result.objects("routes")?.map(parseRoute) ?? [],
    dns,
  };
}

function parseOldIps(result: Fields): Pick<Result, "interfaces" | "ips" | "routes"> {
  const parts = [result.object("ip4"), result.object("ip6")].filter((part) => part !== undefined);
  return {
    interfaces: [],
    ips: parts.map((part) =>
      compact({ address: readCidr(part, "ip"), gateway: readAddress(part, "gateway") })
    ),
    routes: parts.flatMap((part) => part.objects("routes")?.map(parseRoute) ?? []),
  };
}

function parseInterface(entry: Fields): Interface {
  return compact({
    name: entry.string("name") ?? "",
    mac: entry.string("mac"),
    mtu: entry.integer("mtu"),
    sandbox: entry.string("sandbox"),
    socketPath: entry.string("socketPath"),
    pciID: entry.string("pciID"),
  });
}

function parseIp(entry: Fields): Ip {
  return compact({
    address: readCidr(entry, "address"),
    gateway: readAddress(entry, "gateway"),
    interface: entry.integer("interface"),
  });
}

/** A route of a configuration or a result. Host bits are cleared. */
export function parseRoute(entry: Fields): Route {
  const number = { min: 0, max: 2 ** 32 - 1 };
  return compact({
    dst: networkOf(readCidr(entry, "dst")),
    gw: readAddress(entry, "gw"),
    mtu: entry.integer("mtu", number),
    advmss: entry.integer("advmss", number),
    priority: entry.integer("priority", number),
    table: entry.integer("table", number),
    scope: entry.integer("scope", { min: 0, max: 255 }),
  });
}

/** Errors are in the words of Go's net.ParseCIDR. */
function readCidr(entry: Fields, key: string): string {
  const text = entry.string(key) ?? "";
  const parsed = parseCidr(text);
  if (!parsed) throw new CniError("decode", `invalid CIDR address: ${text}`);
  return `${parsed.address}/${parsed.length}`;
}

function readAddress(entry: Fields, key: string): string | undefined {
  const text = entry.string(key);
  const address = text === undefined ? undefined : parseAddress(text);
  if (text !== undefined && !address) throw new CniError("decode", `invalid IP address: ${text}`);
  return address;
}

/**
 * DNS settings of a configuration or a result; undefined gives empty settings. Each value becomes one word in a
 * resolv.conf.
 */
export function parseDns(entry: Fields | undefined): Dns {
  const dns: Dns = entry === undefined ? {} : compact({
    nameservers: entry.strings("nameservers"),
    domain: entry.string("domain"),
    search: entry.strings("search"),
    options: entry.strings("options"),
  });
  const bad = Object.values(dns).flat().find((word) => !/^[!-~]+$/.test(word));
  if (bad !== undefined) {
    throw new CniError("decode", `Cannot use ${JSON.stringify(bad)} in "dns": it is not one plain word`);
  }
  return dns;
}

/** Whether any field is set, even to an empty list. */
export function hasDns(dns: Dns): boolean {
  return Object.values(dns).some((value) => value !== undefined);
}

function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}
