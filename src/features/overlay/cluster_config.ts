import { hostLength, parseAddress } from "../../net/address.ts";
import { identifierProblem, linkNameProblem } from "../../net/names.ts";
import type { World } from "../../plan/world.ts";
import { configDirectory } from "../../engine/state.ts";
import { parseObject } from "../../wire/overlay/requests.ts";

/** What a host has to know of its cluster. */
export interface ClusterConfig {
  readonly path: string;
  readonly endpoints: readonly string[];
  /** What all keys begin with; it ends with "/". */
  readonly prefix: string;
  /** The host's name in the cluster. */
  readonly name: string;
  /** The host's address, or a link that has it, by which the other hosts reach it. */
  readonly underlay: { readonly address: string } | { readonly link: string };
  /** UDP port of VXLAN. */
  readonly port: number;
  /** UDP port of WireGuard on this host. */
  readonly encryptionPort: number;
  /** Where other hosts reach that, if not at the underlay's address. */
  readonly encryptionAddress?: string;
  /** Seconds after which a host that is silent counts as gone. */
  readonly leaseSeconds: number;
  /** Paths of PEM files. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** A user of etcd's, and the path of the file with the password. */
  readonly user?: string;
  readonly passwordFile?: string;
}

const keys = [
  ...["endpoints", "prefix", "name", "underlay", "port", "encryptionPort", "leaseSeconds"],
  "encryptionAddress",
  ...["ca", "cert", "key", "user", "passwordFile"],
];

/** Where it is. */
export function clusterFile(world: World): string {
  return `${configDirectory(world)}/cluster.json`;
}

/** Reads it. @throws Error naming the file, the value and the reason */
export function readClusterConfig(world: World): ClusterConfig {
  const path = clusterFile(world);
  const text = world.read(path);
  if (text === undefined) {
    throw new Error(
      `Cannot read ${path}: there is no such file; write {"endpoints": ["http://ETCD:2379"], "underlay": "LINK"}`,
    );
  }
  try {
    return parseClusterConfig(text, path, world.read("/proc/sys/kernel/hostname")?.trim() ?? "");
  } catch (error) {
    throw new Error(`Cannot use ${path}: ${(error as Error).message}`);
  }
}

/** @param hostname stands in for a name @throws Error giving the value and the reason */
export function parseClusterConfig(text: string, path: string, hostname: string): ClusterConfig {
  const json = parseObject(text);
  const unknown = Object.keys(json).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw new Error(`"${unknown}" is no setting (there are: ${keys.join(", ")})`);
  const { endpoints } = json;
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    throw new Error('"endpoints" has to be a list of etcd\'s addresses, such as ["http://192.0.2.1:2379"]');
  }
  const files = Object.fromEntries(
    ["ca", "cert", "key", "passwordFile"].map((key) => [key, readPath(json, key)] as const)
      .filter(([, value]) => value !== undefined),
  );
  if (("cert" in files) !== ("key" in files)) throw new Error('"cert" and "key" need each other');
  const at = readText(json, "encryptionAddress");
  const encryptionAddress = at === undefined ? undefined : parseAddress(at);
  if (at !== undefined && encryptionAddress === undefined) {
    throw new Error('"encryptionAddress" has to be an address');
  }
  const user = readText(json, "user");
  if ((user === undefined) !== !("passwordFile" in files)) {
    throw new Error('"user" and "passwordFile" need each other');
  }
  return {
    path,
    endpoints: endpoints.map(readEndpoint),
    prefix: readPrefix(readText(json, "prefix") ?? "/ocinet"),
    name: readName(readText(json, "name") ?? hostname),
    underlay: readUnderlay(readText(json, "underlay")),
    port: readNumber(json, "port", 4789, 1024, 65535),
    encryptionPort: readNumber(json, "encryptionPort", 51871, 1024, 65535),
    leaseSeconds: readNumber(json, "leaseSeconds", 15, 2, 600),
    ...files,
    ...(encryptionAddress === undefined ? {} : { encryptionAddress }),
    ...(user === undefined ? {} : { user }),
  };
}

function readText(json: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = json[key];
  if (value === undefined || typeof value === "string" && value !== "") return value;
  throw new Error(`"${key}" has to be a text`);
}

function readPath(json: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const path = readText(json, key);
  if (path !== undefined && !path.startsWith("/")) throw new Error(`"${key}" has to be an absolute path`);
  return path;
}

function readNumber(
  json: Readonly<Record<string, unknown>>,
  key: string,
  usual: number,
  least: number,
  most: number,
): number {
  const value = json[key] ?? usual;
  if (Number.isInteger(value) && value as number >= least && value as number <= most) return value as number;
  throw new Error(`"${key}" has to be a whole number from ${least} to ${most}`);
}

function readEndpoint(value: unknown): string {
  const text = String(value).replace(/\/+$/, "");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // Messages and logs show endpoints.
  if (text.includes("@")) {
    throw new Error('an endpoint has a user or a password in it; use "user" and "passwordFile"');
  }
  const plain = url !== undefined && /^https?:$/.test(url.protocol) && url.search === "";
  if (plain) return text;
  throw new Error(
    `endpoint ${JSON.stringify(value)} is no address of the form http://HOST:PORT or https://HOST:PORT`,
  );
}

function readPrefix(prefix: string): string {
  if (!/^[A-Za-z0-9/_.-]{1,100}$/.test(prefix)) {
    throw new Error(`"prefix" ${JSON.stringify(prefix)} may have letters, digits, "/", "_", "." and "-"`);
  }
  return prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function readName(name: string): string {
  const problem = identifierProblem(name);
  if (problem !== undefined) throw new Error(`"name" ${JSON.stringify(name)} cannot be used: ${problem}`);
  return name;
}

function readUnderlay(text: string | undefined): ClusterConfig["underlay"] {
  if (text === undefined) {
    throw new Error('"underlay" is missing: the address or the link by which other hosts reach this one');
  }
  const address = parseAddress(text);
  if (address !== undefined) return { address };
  const problem = linkNameProblem(text);
  if (problem === undefined) return { link: text };
  throw new Error(`"underlay" ${JSON.stringify(text)} is neither an address nor a link: ${problem}`);
}

/** The host's address on the underlay, and the MTU of the link that has it. */
export interface Underlay {
  readonly address: string;
  readonly mtu: number;
}

/** Looks it up. @throws Error when no link has it */
export async function findUnderlay(world: World, { underlay, path }: ClusterConfig): Promise<Underlay> {
  const where = "link" in underlay ? ["show", "dev", underlay.link] : ["show", "to", addressRange(underlay)];
  const { code, stdout } = await world.run(["ip", "-json", "address", ...where], { looks: true });
  const links = code === 0 && stdout.trim() !== "" ? JSON.parse(stdout) as readonly ShownLink[] : [];
  for (const { mtu, addr_info = [] } of links) {
    const found = addr_info.find(({ local, scope }) => local !== undefined && scope === "global");
    if (found && mtu !== undefined) return { address: parseAddress(found.local!)!, mtu };
  }
  const what = "link" in underlay
    ? `link "${underlay.link}" has no address`
    : `no link has ${underlay.address}`;
  throw new Error(`Cannot use the underlay of ${path}: ${what}; give it one, or change "underlay"`);
}

function addressRange({ address }: { readonly address: string }): string {
  return `${address}/${hostLength(address)}`;
}

interface ShownLink {
  readonly mtu?: number;
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}
