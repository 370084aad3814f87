import { type Cidr, parseAddress, parseCidr } from "../../net/address.ts";

/** What the resolver of a host is told of one interface of a container on a network. */
export interface Member {
  /** Its addresses on the network. */
  readonly addresses: readonly string[];
  /** Its names there: its id first. */
  readonly names: readonly string[];
  /** The host's addresses there, which are asked. */
  readonly listen: readonly Cidr[];
  /** The network leads nowhere. */
  readonly internal: boolean;
  /** Whom it asks for names of the world, if not the host's. */
  readonly servers: readonly string[];
  /** Its end on the host, which goes with the container's namespace; absent if it is not known. */
  readonly link?: string | undefined;
}

/** The text of a member's file: a line of JSON behind "# ", then a line as in hosts(5) for each address. */
export function formatMember({ addresses, names, listen, internal, servers, link }: Member): string {
  const head = JSON.stringify({ listen, internal, servers, link });
  return [`# ${head}`, ...addresses.map((address) => [address, ...names].join(" "))].join("\n");
}

/** Reads it; undefined for a member of a network whose names are in hosts files. */
export function parseMember(text: string): Member | undefined {
  const [head, ...lines] = text.split("\n").filter((line) => line !== "");
  if (!head?.startsWith("# {")) return undefined;
  const { listen, internal, servers, link } = jsonOf(head.slice(2));
  const words = lines.map((line) => line.split(" "));
  return {
    addresses: words.flatMap(([address]) => parseAddress(address ?? "") ?? []),
    names: words[0]?.slice(1) ?? [],
    listen: texts(listen).filter((one) => parseCidr(one)),
    internal: internal === true,
    servers: texts(servers).filter((one) => parseAddress(one)),
    link: texts([link])[0],
  };
}

function jsonOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
