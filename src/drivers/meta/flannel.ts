import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { parseRoute, type Route } from "../../wire/cni/result.ts";
import { networkOf, parseCidr } from "../../net/address.ts";

interface Conf {
  readonly subnetFile: string;
  readonly dataDir: string;
  /** The delegate's type and options. */
  readonly type: string;
  readonly delegate: Readonly<Record<string, unknown>>;
  readonly ipam: Readonly<Record<string, unknown>>;
  readonly routes: readonly Route[];
  /** The fields that are passed to the delegate unchanged. */
  readonly same: Readonly<Record<string, unknown>>;
}

/** Reads a flannel configuration (flannel-io/cni-plugin, flannel.go). @throws CniError in that plugin's words */
export function parse(conf: Fields): Conf {
  const [delegate, ipam] = [objectOf(conf, "delegate"), objectOf(conf, "ipam")];
  for (const key of ["name", "ipam"].filter((key) => Object.hasOwn(delegate, key))) {
    throw wrong(`'delegate' dictionary must not have '${key}' field, it'll be set by flannel`);
  }
  const type = delegate["type"] ?? "bridge";
  if (typeof type !== "string" || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(type)) {
    throw wrong("'delegate' dictionary, if present, must have (string) 'type' field");
  }
  const same = ["name", "cniVersion", "runtimeConfig"].filter((key) => conf.has(key));
  return {
    subnetFile: conf.path("subnetFile") ?? "/run/flannel/subnet.env",
    dataDir: conf.path("dataDir") ?? "/var/lib/cni/flannel",
    ...{ type, delegate, ipam },
    routes: conf.object("ipam")?.objects("routes")?.map(parseRoute) ?? [],
    same: Object.fromEntries(same.map((key) => [key, conf.raw(key)])),
  };
}

function objectOf(conf: Fields, key: string): Readonly<Record<string, unknown>> {
  return conf.object(key) === undefined ? {} : conf.raw(key) as Readonly<Record<string, unknown>>;
}

function wrong(message: string): CniError {
  return new CniError("invalidConfig", message);
}

/** The type that the work is delegated to. */
export function delegateType({ type }: Conf): string {
  return type;
}

/** The file in which flanneld describes this host's subnets. */
export function source({ subnetFile }: Conf): string {
  return subnetFile;
}

/** The file that holds the delegate's configuration for DEL. It is the reference's path. */
export function savedAs({ dataDir }: Conf, containerId: string): string {
  return `${dataDir}/${containerId}`;
}

/**
 * The delegate's configuration.
 * @param text the text of flanneld's file; undefined if it does not exist
 * @throws CniError in the reference's words for a missing or invalid value in it
 */
export function delegateConf(
  { subnetFile, type, delegate, ipam, routes, same }: Conf,
  text: string | undefined,
): Readonly<Record<string, unknown>> {
  const { networks, subnets, mtu, masked } = parseSubnets(text, subnetFile);
  return {
    // The delegate masquerades if flanneld does not.
    ...{ ipMasq: !masked, mtu },
    ...(type === "bridge" ? { isGateway: true } : {}),
    ...delegate,
    type,
    ...same,
    ipam: {
      type: "host-local",
      ...ipam,
      ranges: subnets.map((subnet) => [{ subnet }]),
      routes: [...routes, ...networks.map((dst) => ({ dst }))],
    },
  };
}

/** The contents of flanneld's file. */
interface Subnets {
  /** The networks of the whole cluster. */
  readonly networks: readonly string[];
  /** The subnets of this host, one of each family. */
  readonly subnets: readonly string[];
  readonly mtu: number;
  /** flanneld masquerades traffic that leaves the cluster. */
  readonly masked: boolean;
}

function parseSubnets(text: string | undefined, file: string): Subnets {
  if (text === undefined) throw unloaded(`open ${file}: no such file or directory`);
  const values = new Map(
    text.split("\n").map((line) => [line.split("=")[0]!, line.trim().replace(/^[^=]*=?/, "")]),
  );
  const get = (name: string) => values.get(`FLANNEL_${name}`) ?? "";
  const prefixes = (...names: readonly string[]) =>
    names.flatMap((name) => get(name).split(",").filter((word) => word !== "").map(parsePrefix));
  const networks = prefixes("NETWORK", "IPV6_NETWORK");
  const subnets = prefixes("SUBNET", "IPV6_SUBNET");
  const missing = [
    ...(networks.length === 0 ? ["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"] : []),
    ...(subnets.length === 0 ? ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"] : []),
    ...["MTU", "IPMASQ"].filter((name) => get(name) === "").map((name) => `FLANNEL_${name}`),
  ];
  if (missing.length > 0) throw unloaded(`${file} is missing ${missing.join(", ")}`);
  return {
    networks: [...new Set(networks)],
    subnets,
    mtu: parseMtu(get("MTU")),
    masked: get("IPMASQ") === "true",
  };
}

function parsePrefix(text: string): string {
  const parsed = parseCidr(text);
  if (!parsed) throw unloaded(`invalid CIDR address: ${text}`);
  return networkOf(`${parsed.address}/${parsed.length}`);
}

function parseMtu(text: string): number {
  const mtu = Number(text);
  if (/^[0-9]+$/.test(text) && mtu < 2 ** 32) return mtu;
  throw unloaded(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** flanneld writes the file when it starts, so a retry may succeed. */
function unloaded(problem: string): CniError {
  return new CniError(
    "tryAgainLater",
    `failed to load flannel 'subnet.env' file: ${problem}. Check the flannel pod log for this node.`,
  );
}
