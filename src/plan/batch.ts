import { linkOf } from "./resource.ts";
import type { Line, Place, Step, Sysctl } from "./step.ts";

/** The words to put before a command to run it in each place. Those of the host are empty, except in a session. */
export type Prefixes = Readonly<Record<Place, readonly string[]>>;

/** Steps that one process carries out, in this order. */
export interface Batch {
  readonly tool: Step["tool"];
  readonly on: Place;
  readonly steps: readonly Step[];
}

/** Lanes of batches. The batches of a lane run one after the other; the lanes of a stage run side by side. */
export type Stage = readonly (readonly Batch[])[];

const links = ["ip", "sysctl", "bridge", "tc"];

/**
 * Groups steps into as few processes as possible, with as little waiting as possible. Claims come first, so that
 * nothing is made if one fails; then the rules that guard links. Some steps run alone (a spawn, an exec …). Between two
 * of these, links and rules run side by side: rules name addresses and never need an existing link. The order of link
 * steps: the host's links; the host's sysctls, which may belong to those links; the container's sysctls and links, so
 * that a link comes up only when both are set; bridge ports and tc.
 */
export function stages(steps: readonly Step[]): readonly Stage[] {
  const alone = (tool: "claim" | "nft", steps: readonly Step[]): readonly Stage[] =>
    steps.length > 0 ? [[[{ tool, on: "host", steps }]]] : [];
  return [
    ...alone("claim", steps.filter(({ tool }) => tool === "claim")),
    ...alone("nft", steps.filter(isGuard)),
    ...runsOf(steps.filter((step) => step.tool !== "claim" && !isGuard(step))).map(stage),
  ];
}

function isGuard(step: Step): boolean {
  return step.tool === "nft" && step.before === true;
}

/** Splits the steps at each one that runs alone. */
function runsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const runs: Step[][] = [];
  for (const step of steps) {
    const last = runs.at(-1);
    const before = last?.[0];
    const isAlike = before &&
      (goesTogether(step) && goesTogether(before) || areFlows(step) && areFlows(before));
    if (isAlike && !isOfRenamed(step, last)) {
      last.push(step);
    } else runs.push([step]);
  }
  return runs;
}

/**
 * Whether a sysctl belongs to a link that one of the steps renames. In the same batch it would be set before the
 * rename, under a name that does not exist yet. Optional sysctls are set under both names, so they need no split. The
 * MTU of IPv6 also has to be set after the link is up.
 */
function isOfRenamed(step: Step, steps: readonly Step[]): boolean {
  if (step.tool !== "sysctl" || step.on !== "container" || step.onError === "ignore") return false;
  const link = linkOf(step.id);
  const late = /^net\/ipv6\/conf\/[^/]+\/mtu$/.test(step.key);
  return steps.some(({ on, tool, id }) =>
    on === "container" && tool === "ip" && (late || id.kind === "link") && linkOf(id) === link
  );
}

function goesTogether({ tool }: Step): boolean {
  return tool === "nft" || links.includes(tool);
}

/** One call lists the flows of all ports, so these steps go together. */
function areFlows({ tool }: Step): boolean {
  return tool === "conntrack";
}

function stage(steps: readonly Step[]): Stage {
  const [step] = steps;
  if (!goesTogether(step!)) return [[{ tool: step!.tool, on: step!.on, steps }]];
  const rules = places.map((on) => batchOf(steps, "nft", on));
  return [linkBatches(steps), rules].map((lane) => lane.filter((batch) => batch.steps.length > 0))
    .filter((lane) => lane.length > 0);
}

const places: readonly Place[] = ["host", "container"];

function batchOf(steps: readonly Step[], tool: Step["tool"], on: Place): Batch {
  return { tool, on, steps: steps.filter((step) => step.tool === tool && step.on === on) };
}

function linkBatches(steps: readonly Step[]): readonly Batch[] {
  const [sysctls, lines] = [batchOf(steps, "sysctl", "container"), batchOf(steps, "ip", "container")];
  return [
    batchOf(steps, "ip", "host"),
    batchOf(steps, "sysctl", "host"),
    // One process does both, since it is in the container's namespace already.
    { tool: "ip", on: "container", steps: [...sysctls.steps, ...lines.steps] },
    ...(["bridge", "tc"] as const).flatMap((tool) => places.map((on) => batchOf(steps, tool, on))),
  ];
}

/** A program's command line and its standard input. */
export interface Invocation {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

/**
 * A script that writes `key=value` arguments below /proc/sys, up to the word "--", and then executes the rest. The
 * first letter of a key is a mode. "!": the sysctl must exist. "?": the kernel may lack it. "<": put a value back; the
 * next argument is "=" and the value that we wrote. If the sysctl has another value by now, or is gone, it is left alone. A
 * failure to put a value back does not stop the rest, but the exit status is 9. Any other failure is followed by a line
 * "sysctl MODE+KEY". Values are compared word by word, because the kernel separates several values with blanks of its own.
 * The MTU of IPv6 waits, up to a second, for the link to have a carrier: the kernel hears of that some time after both ends
 * are up, and then sets the MTU anew (addrconf_notify).
 */
const sysctlsThen = "set -f; " +
  'while [ "$1" != -- ]; do k=${1%%=*} v=${1#*=} i=; f=/proc/sys/${k#?} l=${1#*/conf/}; ' +
  'case $k in "!net/ipv6/conf/"*/mtu) until [ ${#i} = 99 ]; do ' +
  'case $(ip -o link show dev "${l%%/*}") in *" state U"*) break ;; esac; i=x$i; sleep 0.01; done ;; esac; ' +
  "case $k in " +
  '"<"*) shift; [ -e "$f" ] && [ "$(echo $(cat "$f"))" = "$(echo ${1#=})" ] ;; "?"*) [ -e "$f" ] ;; esac && ' +
  '{ printf "%s\\n" "$v" >"$f" || case $k in "<"*) e=9 ;; *) echo "sysctl $k" >&2; exit 9 ;; esac; }; ' +
  "shift; done; shift; " +
  '[ "${e-}" ] || exec "$@"; "$@"; exit 9';

/** The program that carries out lines of `ip`, `bridge`, `tc` or `nft` in a place, after setting sysctls there. */
export function invocation(
  steps: readonly (Line | Sysctl)[],
  prefix: readonly string[],
  which: "run" | "undo",
): Invocation {
  const sysctls = steps.filter((step) => step.tool === "sysctl");
  const lines = steps.filter((step) => step.tool !== "sysctl");
  const text = lines.map((line) => `${line[which]}\n`).join("");
  const tool = lines[0]?.tool;
  const flags = which === "undo" ? ["-force", "-batch", "-"] : ["-batch", "-"];
  const program = tool === undefined ? ["true"] : tool === "nft" ? ["nft", "-f", "-"] : [tool, ...flags];
  if (sysctls.length === 0) return { argv: [...prefix, ...program], stdin: text };
  const settings = sysctls.flatMap(({ key, value, undo, onError }) =>
    which === "undo"
      ? [`<${key}=${undo}`, `=${value}`]
      : [`${onError === "ignore" ? "?" : "!"}${key}=${value}`]
  );
  return { argv: [...prefix, "sh", "-c", sysctlsThen, "sh", ...settings, "--", ...program], stdin: text };
}

/** The commands that a program reads from its standard input, one a line, as one would type them into a shell. */
export function typedLines(argv: readonly string[], stdin = ""): readonly string[] {
  const script = argv.indexOf(sysctlsThen);
  if (script >= 0) {
    const prefix = argv.slice(0, script - 2);
    const end = argv.indexOf("--", script);
    const settings = argv.slice(script + 2, end).filter((_, i, all) => !all[i - 1]?.startsWith("<"))
      .map((setting) => ["sysctl", "-w", setting.slice(1)]);
    const program = argv.slice(end + 1);
    return [
      ...settings.flatMap((words) => typedLines([...prefix, ...words])),
      ...(program[0] === "true" ? [] : typedLines([...prefix, ...program], stdin)),
    ];
  }
  const command = argv.map(quote).join(" ").replace(/ -(force -)?batch -$| -f -$/, "");
  const lines = stdin.split("\n").filter((line) => line !== "");
  return lines.length === 0 ? [command] : lines.map((line) => `${command} ${forShell(line)}`);
}

/** A line for the tool, quoted if a shell would split it or interpret it. */
function forShell(line: string): string {
  return /[;&|<>()$`\\"'*?#~!]/.test(line) ? quote(line) : line;
}

/** The word, quoted for a shell. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
