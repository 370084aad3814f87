import type { PortMapping, Protocol } from "../../net/port_mapping.ts";

/** One line of a policy: what a user or group may get from root's service. */
export type Rule =
  & {
    /** A user's name or number, or `@` and a group's name. */
    readonly who: string;
  }
  & (
    | { readonly kind: "veth"; readonly network: string; readonly count: number }
    | { readonly kind: "port"; readonly first: number; readonly last: number; readonly protocol?: Protocol }
  );

const syntax = "USER|@GROUP veth NETWORK COUNT, or USER|@GROUP port PORT[-END][/tcp|udp|sctp]";

/**
 * Reads a policy: lines of lxc-usernet(5), and lines for the host ports that may be published. `#` starts a comment.
 * @throws Error naming the file, the line and the reason
 */
export function parsePolicy(text: string, path: string): readonly Rule[] {
  return text.split("\n").flatMap((line, i) => {
    const words = line.replace(/#.*/, "").trim().split(/\s+/);
    if (words[0] === "") return [];
    try {
      return [parseRule(words)];
    } catch (error) {
      throw new Error(`Cannot read line ${i + 1} of ${path}: ${(error as Error).message}`);
    }
  });
}

/**
 * Reads /etc/lxc/lxc-usernet as lxc-user-nic does. Lines it ignores, such as those that start with a blank, are
 * ignored, and so are words after the fourth.
 */
export function parseUsernet(text: string): readonly Rule[] {
  return text.split("\n").flatMap((line) => {
    try {
      return [parseRule(line.split(/[ \t]+/).slice(0, 4))];
    } catch {
      return [];
    }
  });
}

function parseRule(words: readonly string[]): Rule {
  const [who, kind, what, count, ...more] = words as [string, ...string[]];
  if (what === undefined || more.length > 0) throw new Error(`it is not ${syntax}`);
  if (kind === "veth" && count !== undefined) return { who, kind, network: what, count: parseCount(count) };
  if (kind === "port" && count === undefined) return { who, kind, ...parsePorts(what) };
  throw new Error(`it is not ${syntax}`);
}

function parseCount(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new Error(`"${text}" is not a number of containers`);
}

function parsePorts(text: string): { first: number; last: number; protocol?: Protocol } {
  const [, from, to = from, protocol] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text) ??
    [];
  const [first, last] = [Number(from), Number(to)];
  if (!(first >= 1 && first <= last && last <= 65535)) {
    throw new Error(`"${text}" is not PORT[-END][/tcp|udp|sctp], with numbers from 1 to 65535`);
  }
  return { first, last, ...(protocol === undefined ? {} : { protocol: protocol as Protocol }) };
}

/** A range of host ports; absent `protocol` means all protocols. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly protocol?: Protocol;
}

/** What one user may have: a number of containers per network, and host ports. */
export interface Grants {
  readonly networks: ReadonlyMap<string, number>;
  readonly ports: readonly PortRange[];
}

/**
 * Adds up what the lines for these names grant. The counts of several lines for a network are added, as lxc-usernet(5)
 * says. The count of a group's line applies to each member.
 * @param names the user's name and number, and `@` with each group's name
 */
export function grantsOf(rules: readonly Rule[], names: ReadonlySet<string>): Grants {
  const own = rules.filter(({ who }) => names.has(who));
  const networks = new Map<string, number>();
  for (const rule of own) {
    if (rule.kind === "veth") networks.set(rule.network, (networks.get(rule.network) ?? 0) + rule.count);
  }
  return {
    networks,
    ports: own.flatMap((rule) => {
      if (rule.kind !== "port") return [];
      const { first, last, protocol } = rule;
      return [{ first, last, ...(protocol === undefined ? {} : { protocol }) }];
    }),
  };
}

/** Whether a mapping's host port is in one of the ranges. */
export function coversPort(
  ranges: readonly PortRange[],
  { hostPort, protocol }: Pick<PortMapping, "hostPort" | "protocol">,
): boolean {
  return ranges.some((range) =>
    range.first <= hostPort && hostPort <= range.last &&
    (range.protocol === undefined || range.protocol === protocol)
  );
}

/** A range in the syntax of the policy. */
export function showRange({ first, last, protocol }: PortRange): string {
  return `${first}${last === first ? "" : `-${last}`}${protocol === undefined ? "" : `/${protocol}`}`;
}
