import { UsageError } from "../wire/oci/options.ts";

/** Words that other tools have for a command of ours, and that can mean nothing else here. */
const synonyms: Readonly<Record<string, string>> = {
  ...{
    ps: "ls",
    list: "ls",
    prune: "gc",
    attach: "up",
    detach: "down",
    show: "inspect",
    ports: "port",
    stats: "top",
  },
};

/** What to do instead of what other tools have, and ocinet has not. */
const instead: Readonly<Record<string, string>> = {
  rm: "ocinet down ID removes a container's networks",
  stop: "ocinet down ID removes a container's networks; ocinet session stop ends a session",
  start: "ocinet run starts a command, and ocinet session start a session",
  exec:
    "ocinet session exec runs a command in the session; in a container its runtime does, such as runc exec",
  create: "ocinet run starts a command, and ocinet inject connects a bundle that a runtime creates",
  logs: "hook.log in the state directory (/run/ocinet as root) says why a hook failed",
  status: "ocinet ls shows containers, ocinet doctor this machine, ocinet session status a session",
  check:
    "ocinet ls shows what containers lack, ocinet doctor what this machine lacks; ocinet cni check asks plugins",
  restart: "ocinet repair ID restores what is missing, and starts dead programs again",
  uninstall: "docs/usage.md says what to remove, in Upgrade and remove",
};

/** Options of other tools, and what to do instead. */
const otherOptions: readonly (readonly [options: string, advice: string])[] = [
  ["--ip", "--net NETWORK:ip=ADDRESS chooses the address"],
  ["--mac-address", "--net NETWORK:mac=ADDRESS chooses it"],
  ["--network-alias", "--net NETWORK:alias=NAME gives it another name there"],
  ["-P --publish-all --expose", "-p HOSTPORT:PORT publishes a port"],
  ["-d --detach", "ocinet run ... & runs it in the background"],
  ["-i -t -it -ti --interactive --tty --rm", "leave it out: ocinet run always does this"],
  ["-e --env", "ocinet run -- env NAME=VALUE COMMAND"],
  ["-v --volume", "leave it out: the command sees the host's files"],
  ["--no-stream", "ocinet top --once"],
  ["-n", "--dry-run"],
  ["-a --all", "ocinet ls lists all containers; ocinet down $(ocinet ls -q) disconnects all"],
];

/** Commander's words about an unknown option, with what to do instead of one that other tools have. */
export function advised(text: string): string {
  return text.replace(
    /(unknown option '([^'=]+)[^']*')(\n\(Did .*)?/,
    (whole, said: string, option: string) => {
      const found = otherOptions.find(([options]) => options.split(" ").includes(option));
      return found ? `${said}\n(${found[1]})` : whole;
    },
  );
}

/**
 * The words of a command line as they are meant: `help X` is `X --help` for a command, and words of other tools are ours.
 * @param groups the words that have commands of their own
 * @param commands all commands, those of a group with its word before them
 * @throws UsageError for a command that ocinet has not and other tools have, with what to do instead
 */
export function asMeant(
  words: readonly string[],
  groups: readonly string[] = [],
  commands: readonly string[] = [],
): readonly string[] {
  const [first = "", ...rest] = words;
  if (first === "help") return helpAsMeant(rest, groups, commands);
  if (rest[0] === "help" && (groups.includes(first) || /^(port|cni)$/.test(first))) {
    return helpAsMeant([first, ...rest.slice(1)], groups, commands);
  }
  // A network's command without the word before it.
  if (first === "connect" || first === "disconnect") return ["network", ...words];
  if (first === "networks") return ["network", "ls", ...rest];
  if (first === "session" && rest[0] === "ls") return ["session", "status", ...rest.slice(1)];
  if (first === "session" && /^(sh|shell|enter)$/.test(rest[0] ?? "")) {
    throw new UsageError(
      `There is no command "session ${rest[0]}": ocinet session exec sh starts a shell in the session`,
    );
  }
  const container = first === "doctor"
    ? rest.find((word, i) => !word.startsWith("-") && !/^--(format|log-level)$/.test(rest[i - 1] ?? ""))
    : undefined;
  if (container !== undefined) {
    throw new UsageError(
      `Cannot look at container "${container}": ocinet doctor looks at this machine; ocinet trace ${container} looks at ` +
        "a container, and whether it reaches a target",
    );
  }
  const advice = Object.hasOwn(instead, first) ? instead[first] : undefined;
  if (advice) throw new UsageError(`There is no command "${first}": ${advice}`);
  return Object.hasOwn(synonyms, first) ? [synonyms[first]!, ...rest] : words;
}

/** What comes after `help`: a command, which tells of itself, or else a topic. After `topic` it is always one. */
function helpAsMeant(
  words: readonly string[],
  groups: readonly string[],
  commands: readonly string[],
): readonly string[] {
  const [first] = words;
  if (first === undefined) return ["--help"];
  if (first === "topic") return ["help", ...words.slice(1)];
  if (first === "help" || first.startsWith("-")) return ["help", first.replace(/^h.*/, "--help")];
  // Each is a topic's name too, and says more of it than of the one command.
  if (first === "networks" || first === "ports") return ["help", first];
  const meant = asMeant(words, groups, commands);
  if (groups.includes(meant[0]!)) {
    const isKnown = meant.length === 1 || commands.includes(`${meant[0]} ${meant[1]}`);
    return [...meant.slice(0, 2), ...isKnown ? ["--help"] : []];
  }
  return commands.includes(meant[0]!) ? [meant[0]!, "--help"] : ["help", ...words];
}
