import { linkOf } from "./resource.ts";
import type { Line, Place, Step, Sysctl } from "./step.ts";

/** How to run a program in each place: words to put before it. The host's are empty unless a session owns it. */
export type Prefixes = Readonly<Record<Place, readonly string[]>>;

/** Steps that one process carries out, in their order. */
export interface Batch {
  readonly tool: Step["tool"];
  readonly on: Place;
  readonly steps: readonly Step[];
}

/** Lanes of batches: those of one lane come one after the other, the lanes of a stage go side by side. */
export type Stage = readonly (readonly Batch[])[];

const links = ["ip", "sysctl", "bridge", "tc"];

/**
 * The fewest processes for the steps, and the shortest wait for them. Claims come first: nothing is made for who cannot
 * have all that was asked for; then what guards links. Between two steps that stand alone (a spawn, an exec …) links and rules go side by side,
 * for rules name addresses and never need a link to be there. Of links, the host's come first, then its sysctls, which
 * may be those links' own; then the container's sysctls and links, so that a link there comes up only once both are as
 * they should be; then bridge ports and tc.
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

/** The steps cut wherever one stands alone. */
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
 * Whether a sysctl is of a link that gets its name by one of the steps: in one batch it would be set before that, under a
 * name that is not there yet. Those that the kernel may lack are set under either name.
 */
function isOfRenamed(step: Step, steps: readonly Step[]): boolean {
  if (step.tool !== "sysctl" || step.on !== "container" || step.onError === "ignore") return false;
  const link = linkOf(step.id);
  return steps.some(({ on, tool, id }) =>
    on === "container" && tool === "ip" && id.kind === "link" && id.link === link
  );
}

function goesTogether({ tool }: Step): boolean {
  return tool === "nft" || links.includes(tool);
}

/** One look finds those of all ports. */
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
    // One process does both: it is in the container's namespace already.
    { tool: "ip", on: "container", steps: [...sysctls.steps, ...lines.steps] },
    ...(["bridge", "tc"] as const).flatMap((tool) => places.map((on) => batchOf(steps, tool, on))),
  ];
}

/** A program to start: its words, and what it reads. */
export interface Invocation {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

/**
 * Writes `key=value` arguments below /proc/sys up to the word "--", then becomes the rest; a key's first letter is "?" if
 * the kernel may lack it, or else "!". To put a value back it is "<", and the next argument is the value that we wrote: if
 * another is there by now, or none, it stays; and what cannot be put back stops nothing. The kernel has its own blanks
 * between several values of one.
 */
const sysctlsThen = "set -f; " +
  'while [ "$1" != -- ]; do k=${1%%=*} v=${1#*=}; f=/proc/sys/${k#?}; case $k in ' +
  '"<"*) shift; [ -e "$f" ] && [ "$(echo $(cat "$f"))" = "$(echo $1)" ] ;; "?"*) [ -e "$f" ] ;; esac && ' +
  '{ echo "$v" >"$f" || case $k in "<"*) e=9 ;; *) exit 9 ;; esac; }; shift; done; shift; ' +
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
    which === "undo" ? [`<${key}=${undo}`, value] : [`${onError === "ignore" ? "?" : "!"}${key}=${value}`]
  );
  return { argv: [...prefix, "sh", "-c", sysctlsThen, "sh", ...settings, "--", ...program], stdin: text };
}

/** What a program with its input does, a line each, as a person would type it into a shell. */
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

/** A line of words for the tool, as one where a shell would take it apart. */
function forShell(line: string): string {
  return /[;&|<>()$`\\"'*?#~!]/.test(line) ? quote(line) : line;
}

/** The word as a shell reads it. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
