/** An option of a container's network, on a command line and as an annotation. */
export interface Option {
  readonly name: string;
  readonly short?: string;
  /** Another tool's name for the option; the command line accepts it too. */
  readonly also?: string;
  readonly value: string;
  /** It may stand without its value, which then reads as an empty one; of commands alone. */
  readonly bare?: true;
  readonly text: string;
  /** The option may be repeated; the values add up. */
  readonly many: boolean;
  /** Whether an annotation may set it. False for options that the author of a bundle must not decide. */
  readonly annotation: boolean;
}

/** The options for a container's network. */
export const containerOptions: readonly Option[] = [
  {
    ...option("net", "NETS", "host, none, all, or networks with arguments: net1,net2:IP=10.1.2.3;K=V", true),
    also: "network",
  },
  { ...option("publish", "PORTS", "[HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]", true), short: "p" },
  option("service", "NAME", "the service on its overlay networks that the container joins", false),
  option(
    "publish-mesh",
    "PORTS",
    "[SUBNET:]HOSTPORT:PORT[/udp]: a port of every host, which leads to a member of the service",
    true,
  ),
  option(
    "affinity",
    "BY",
    "which member of a service answers: any (none), or the same one for a client (client)",
    false,
  ),
  option(
    "dns",
    "SERVER",
    "name servers for resolv.conf; `host`: the host's file; `none`: the container's own file stays",
    true,
  ),
  option("dns-search", "DOMAIN", "search domain for resolv.conf", true),
  option("dns-opt", "OPTION", "option for resolv.conf", true),
  option("dns-domain", "DOMAIN", "domain for resolv.conf", false),
  {
    ...option("hosts-entry", "IP=NAME", "a line of the hosts file; `host`: the host's file", true),
    also: "add-host",
  },
  option("hostname", "NAME", "the container's host name", false),
  option(
    "egress",
    "LIST",
    "the only destinations it may reach: none, or PREFIX or NAME, with or without :PORT",
    true,
  ),
  option("rate-in", "RATE", "the most that each interface receives per second: 500kbit, 10mbit", false),
  option("rate-out", "RATE", "the most that each interface sends per second", false),
  option(
    "uplink",
    "NAME",
    "how to reach other networks without root: NAME[:KEY=VALUE,...]; helper, lxc-user-nic, pasta, slirp4netns",
    false,
  ),
  option(
    "port-driver",
    "NAME",
    "what forwards ports without root: uplink, relay (default: uplink if it can)",
    false,
  ),
  option(
    "proxy-protocol",
    "VERSION",
    "version of the PROXY protocol by which the relay sends the client's address: v1, v2",
    false,
  ),
  { ...option("net-dir", "DIR", "an additional directory of network files", true), annotation: false },
];

function option(name: string, value: string, text: string, many: boolean): Option {
  return { name, value, text, many, annotation: true };
}

/** The given values, by option name. */
export type OptionValues = ReadonlyMap<string, readonly string[]>;

/** The prefix of our annotations: `org.ocinet.net`, `org.ocinet.publish` … */
export const annotationPrefix = "org.ocinet.";

/** The command line is wrong; the exit status is 2. */
export class UsageError extends Error {}

/**
 * Reads options from the words of a command line: `--net a`, `--net=a`, `-p 80:80`.
 * @throws UsageError for a word that is not an option, or lacks its value
 */
export function parseWords(
  argv: readonly string[],
  options: readonly Option[] = containerOptions,
): OptionValues {
  const given = new Map<string, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const [word, inline] = splitWord(argv[i]!);
    const found = options.find((option) => isNamed(option, word));
    if (!found) throw new UsageError(`Cannot read option "${argv[i]}": ${whyNone(word, options)}`);
    const value = inline ?? argv[++i];
    if (value === undefined) {
      throw new UsageError(`Cannot read option "${word}": it needs a value (${found.value})`);
    }
    given.set(found.name, found.many ? [...given.get(found.name) ?? [], value] : [value]);
  }
  return given;
}

/** With those that begin like it. */
function whyNone(word: string, options: readonly Option[]): string {
  const names = options.map(({ name }) => `--${name}`);
  const near = word.length > 3 ? names.filter((name) => name.startsWith(word.slice(0, 4))).join(" or ") : "";
  return `there is none of that name${near && `; did you mean ${near}?`}`;
}

/** Whether a word of a command line names this option. */
export function isNamed({ name, short, also }: Option, word: string): boolean {
  return word === `--${name}` || (also !== undefined && word === `--${also}`) ||
    (short !== undefined && word === `-${short}`);
}

function splitWord(word: string): readonly [string, string | undefined] {
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/**
 * Reads options from annotations. Several values of one option are separated by blanks.
 * @throws Error for an annotation with our prefix and an unknown name
 */
export function parseAnnotations(annotations: Readonly<Record<string, string>>): OptionValues {
  const own = Object.entries(annotations).filter(([key]) => key.startsWith(annotationPrefix));
  return new Map(own.map(([key, value]) => {
    const name = key.slice(annotationPrefix.length);
    const found = containerOptions.find((option) => option.name === name && option.annotation);
    if (!found) {
      const known = containerOptions.filter(({ annotation }) => annotation).map(({ name }) =>
        annotationPrefix + name
      )
        .join(", ");
      throw new Error(`Cannot use annotation "${key}": known are ${known}`);
    }
    return [name, found.many ? value.split(/\s+/).filter((word) => word !== "") : [value]];
  }));
}

/** The options as words of a command line. */
export function toWords(given: OptionValues): readonly string[] {
  return [...given].flatMap(([name, values]) => values.map((value) => `--${name}=${value}`));
}
