import { CniError } from "../wire/cni/error.ts";
import type { Dns, Ip, Route } from "../wire/cni/result.ts";
import { family, networkOf, parseAddress, parseCidr } from "../net/address.ts";

/** The usable part of a DHCP server's answer. */
export interface Answer {
  readonly ip: Ip;
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** The scope of a route to a neighbour (RT_SCOPE_LINK). */
const linkScope = 253;

/**
 * Reads udhcpc's variables, each terminated by a zero byte. Any machine on the network may have sent them. An unusable
 * address is an error; other unusable values are left out.
 * @throws CniError if there is no usable address, or no subnet mask
 */
export function parseAnswer(text: string): Answer {
  const variables = new Map(
    text.split("\0").map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  const list = (name: string) => (variables.get(name) ?? "").split(" ").filter((word) => word !== "");
  const address = parseOwn(variables.get("ip") ?? "", variables.get("mask"));
  const gateway = list("router").map(unicast).find((router) => router !== undefined);
  return {
    ip: { address, ...(gateway === undefined ? {} : { gateway }) },
    routes: routesOf(list("staticroutes"), list("routes"), gateway),
    dns: {
      nameservers: list("dns").map(unicast).filter((server) => server !== undefined),
      ...domainOf(list("domain")),
      search: list("search").filter(isName),
    },
  };
}

function parseOwn(ip: string, mask: string | undefined): string {
  if (mask === undefined) throw new CniError("internal", "DHCP option Subnet Mask not found in DHCPACK");
  const [address, cidr] = [unicast(ip), parseCidr(`${ip}/${mask}`)];
  if (address !== undefined && cidr !== undefined && cidr.length > 0) return `${address}/${cidr.length}`;
  throw new CniError(
    "internal",
    `Cannot use address ${JSON.stringify(`${ip}/${mask}`)} of a DHCP server: no host can have it`,
  );
}

/** Returns the address if a host can have it: an IPv4 address outside 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3. */
function unicast(text: string): string | undefined {
  const address = parseAddress(text);
  if (address === undefined || family(address) !== 4) return undefined;
  const first = Number(address.split(".")[0]);
  return first > 0 && first < 224 && first !== 127 ? address : undefined;
}

/** If there are classless routes, the other routes are ignored (RFC 3442). */
function routesOf(
  classless: readonly string[],
  classful: readonly string[],
  gateway: string | undefined,
): readonly Route[] {
  if (classless.length > 0) {
    return classless.flatMap((dst, i) => i % 2 === 0 ? classlessRoute(dst, classless[i + 1] ?? "") : []);
  }
  const everywhere = gateway === undefined ? [] : [{ dst: "0.0.0.0/0", gw: gateway }];
  return [...classful.flatMap(classfulRoute), ...everywhere];
}

/** A router 0.0.0.0 means that the destination is on the link itself. */
function classlessRoute(text: string, router: string): readonly Route[] {
  const dst = parseCidr(text);
  if (dst === undefined || family(dst.address) !== 4) return [];
  const to = networkOf(`${dst.address}/${dst.length}`);
  if (router === "0.0.0.0") return [{ dst: to, scope: linkScope }];
  const gw = unicast(router);
  return gw === undefined ? [] : [{ dst: to, gw }];
}

/** Reads `DESTINATION/ROUTER`. The prefix length follows from the destination's address class. */
function classfulRoute(pair: string): readonly Route[] {
  const [dst, gw] = pair.split("/").map(unicast);
  if (dst === undefined || gw === undefined) return [];
  const first = Number(dst.split(".")[0]);
  return [{ dst: networkOf(`${dst}/${first < 128 ? 8 : first < 192 ? 16 : 24}`), gw }];
}

function domainOf(words: readonly string[]): Pick<Dns, "domain"> {
  const [domain] = words;
  return words.length === 1 && isName(domain!) ? { domain: domain! } : {};
}

/** Whether a text is a DNS name. udhcpc replaces most invalid names by "bad". */
function isName(text: string): boolean {
  const label = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
  return text !== "bad" && text.length <= 253 &&
    text.replace(/\.$/, "").split(".").every((part) => label.test(part));
}
