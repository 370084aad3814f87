/**
 * What a step makes, sets or takes away. Which thing it is follows from some of the fields (`resourceKey`); the others
 * say how it will be, so that a plan can go on from what an earlier step of it will have done.
 */
export type Resource =
  | LinkResource
  | { readonly kind: "link-setting"; readonly link: string; readonly master?: string; readonly name?: string }
  | AddressResource
  | RouteResource
  | { readonly kind: "rule"; readonly from: string; readonly table: number }
  | { readonly kind: "neighbour"; readonly address: string; readonly link: string }
  | { readonly kind: "fdb"; readonly mac: string; readonly link: string }
  | { readonly kind: "vlan"; readonly port: string; readonly vlan: string }
  | { readonly kind: "queue"; readonly link: string; readonly parent: string }
  | { readonly kind: "filter"; readonly link: string; readonly parent: string }
  | ElementResource
  | { readonly kind: "chain"; readonly table: string; readonly chain: string }
  | { readonly kind: "table"; readonly table: string }
  | { readonly kind: "sysctl"; readonly key: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "mount"; readonly path: string }
  | { readonly kind: "process"; readonly pidFile: string }
  | { readonly kind: "request"; readonly socket: string; readonly key: string }
  | { readonly kind: "flows"; readonly port: string; readonly address?: string }
  | { readonly kind: "command"; readonly what: string };

/** A link; `master` is the one that it is made a port of, `table` that of a VRF, `vlan` the id and the link of a VLAN. */
export interface LinkResource {
  readonly kind: "link";
  readonly link: string;
  readonly type?: string;
  readonly table?: number;
  readonly master?: string;
  readonly vlan?: { readonly id: number; readonly of: string };
}

/** An address with its prefix length; `routed`: the kernel makes a route to its subnet. */
export interface AddressResource {
  readonly kind: "address";
  readonly address: string;
  readonly link: string;
  readonly routed: boolean;
}

/** A route; `attributes` are words of `ip route` and their values, "" for a word without one. */
export interface RouteResource {
  readonly kind: "route";
  readonly dst: string;
  readonly dev: string;
  /** Absent: the main table. */
  readonly table?: number;
  readonly attributes: readonly (readonly [string, string])[];
}

/** An element of a set or map of nft, which is named by its family, its table and its own name: "inet ocinet ports4". */
export interface ElementResource {
  readonly kind: "element";
  readonly set: string;
  readonly key: string;
  /** What a map leads to. */
  readonly value?: string;
}

/** The fields that tell a resource from all others of its kind in one network namespace. */
const identity: { readonly [Kind in Resource["kind"]]: readonly string[] } = {
  link: ["link"],
  "link-setting": ["link", "name"],
  address: ["address", "link"],
  route: ["dst", "dev", "table"],
  rule: ["from", "table"],
  neighbour: ["address", "link"],
  fdb: ["mac", "link"],
  vlan: ["port", "vlan"],
  queue: ["link", "parent"],
  filter: ["link", "parent"],
  element: ["set", "key"],
  chain: ["table", "chain"],
  table: ["table"],
  sysctl: ["key"],
  file: ["path"],
  mount: ["path"],
  process: ["pidFile"],
  request: ["socket", "key"],
  flows: ["port", "address"],
  command: ["what"],
};

/** A text by which two resources of one network namespace can be told to be the same. */
export function resourceKey(resource: Resource): string {
  const fields = resource as unknown as Readonly<Record<string, unknown>>;
  return [resource.kind, ...identity[resource.kind].map((field) => String(fields[field] ?? ""))].join(" ");
}

/** Whether a value that was read is a resource: a file may be damaged. */
export function isResource(value: unknown): value is Resource {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  const kind = String(fields["kind"]);
  if (!Object.hasOwn(identity, kind)) return false;
  const attributes = fields["attributes"] ?? [];
  return kind !== "route" || Array.isArray(attributes) && attributes.every(Array.isArray);
}

/** The link that a resource is, or is of. */
export function linkOf(resource: Resource): string | undefined {
  switch (resource.kind) {
    case "link":
    case "link-setting":
    case "address":
    case "neighbour":
    case "fdb":
    case "queue":
    case "filter":
      return resource.link;
    case "route":
      return resource.dev;
    case "vlan":
      return resource.port;
    case "sysctl":
      // net/ipv4/conf/LINK/…, net/ipv6/neigh/LINK/…
      return /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(resource.key)?.[1];
    default:
      return undefined;
  }
}
