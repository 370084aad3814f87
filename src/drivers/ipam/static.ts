import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, type Ip, parseDns, parseRoute, type Result, type Route } from "../../wire/cni/result.ts";
import { addressOf, contains, networkOf, parseAddress, parseCidr } from "../../net/address.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import type { Lease } from "../plugin.ts";

/** The addresses are known before the link exists. */
export const kind = "local";

/** The author of the configuration assigns the addresses. */
export const unreserved = true;

interface Conf {
  readonly ips: readonly Ip[];
  /** Whether `ips` came from args.cni or runtimeConfig. Then CNI_ARGS is ignored. */
  readonly replaced: boolean;
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** It reads `IP` and `GATEWAY`. */
export const readsArgs = true;

/** Reads the `ipam` object. Addresses of runtimeConfig replace those of args.cni, and these replace all others. */
export function parse(conf: Fields): Conf {
  const ipam = conf.object("ipam");
  if (!ipam) throw new CniError("internal", "IPAM config missing 'ipam' key");
  const own = ipam.objects("addresses")?.map(parseEntry) ?? [];
  const args = conf.object("args")?.object("cni")?.strings("ips");
  const runtime = conf.object("runtimeConfig")?.strings("ips");
  const replacement = runtime?.length ? runtime : args?.length ? args : undefined;
  return {
    ips: replacement?.map((text) => ({
      address: parseIp(text, "an entry in the 'ips' field is NOT in CIDR notation"),
    })) ??
      own,
    replaced: replacement !== undefined,
    routes: ipam.objects("routes")?.map(parseRoute) ?? [],
    dns: parseDns(ipam.object("dns")),
  };
}

function parseEntry(entry: Fields): Ip {
  const address = parseIp(
    entry.string("address") ?? "",
    "the 'address' field is expected to be in CIDR notation",
  );
  const gateway = entry.string("gateway");
  return gateway === undefined ? { address } : { address, gateway: parseGateway(gateway) };
}

function parseIp(text: string, problem: string): string {
  const parsed = parseCidr(text);
  if (!parsed) throw new CniError("internal", `${problem}, got: '${text}'`);
  return `${parsed.address}/${parsed.length}`;
}

function parseGateway(text: string): string {
  const gateway = parseAddress(text);
  if (!gateway) throw new CniError("internal", `invalid gateway address: ${text}`);
  return gateway;
}

/** The addresses of the configuration, and those of CNI_ARGS unless they were replaced. */
export function lease({ ips, replaced, routes, dns }: Conf, at: Attachment): Lease {
  if (replaced) return { ips, routes, dns, claims: [] };
  const problem = "the 'ip' field is expected to be in CIDR notation";
  const added = list(at, "IP").map((text): Ip => ({ address: parseIp(text, problem) }));
  const gateways = list(at, "GATEWAY").map(parseGateway);
  const all = [...ips, ...added].map((ip) => {
    const gateway = gateways.find((gateway) => contains(networkOf(ip.address), gateway));
    return gateway === undefined ? ip : { ...ip, gateway };
  });
  return { ips: all, routes, dns, claims: [] };
}

function list({ args }: Attachment, key: string): readonly string[] {
  return args.get(key)?.split(",").map((text) => text.trim()).filter((text) => text !== "") ?? [];
}

/** Checks the gateways of those addresses that are still in the configuration. */
export function checkDrift(
  conf: Conf,
  at: Attachment,
  _world: World,
  made: Result | undefined,
): string | undefined {
  if (!made) return "Required prevResult missing";
  const gone = lease(conf, at).ips.find(({ address, gateway }) => {
    const same = made.ips.find((ip) => addressOf(ip.address) === addressOf(address));
    return gateway !== undefined && same !== undefined && same.gateway !== gateway;
  });
  return gone && `static: Failed to match addr ${addressOf(gone.address)} on interface ${at.ifname}`;
}
