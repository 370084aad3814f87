import { Command, CommanderError, Option as CommanderOption, type OutputConfiguration } from "commander";
import { oneLine, printJson } from "../wire/cni/output.ts";
import { dryWorld } from "../host/dry.ts";
import { loggingWorld } from "../host/logging.ts";
import { type Option, type OptionValues, UsageError } from "../wire/oci/options.ts";
import { asTyped } from "../engine/usage.ts";
import { checkTemplate } from "../features/networks/template.ts";
import type { World } from "../plan/world.ts";
import { failure, traceOf } from "./failure.ts";
import {
  headingOf,
  helpLayout,
  inGroups,
  optionHeading,
  outputHeading,
  outputOptions,
  ownHeading,
  summary,
  wrap,
} from "./help.ts";
import { isInside, runInside } from "./inside.ts";
import { type Report, rowsText } from "./report.ts";
import type { Screen } from "./map.ts";
import { allTopics, topicList, topicNamed, topicOf } from "./topics.ts";
import { groups, nameOf, type Typed, type Verb, verbs } from "./verbs.ts";
import { watched } from "./progress.ts";
import { advised, asMeant } from "./words.ts";

/** What a command line needs of the process it runs in. */
export interface Console {
  args(): readonly string[];
  stdin(): Promise<string>;
  print(to: "stdout" | "stderr", text: string): void;
  /** How many columns the terminal has; undefined if standard output is not a terminal. */
  columns?(): number | undefined;
  /** Whether standard error is a terminal. */
  isWatched?(): boolean;
}

/**
 * Reads the command line and does what it says.
 * @returns 0 done, 1 failed, 2 wrong use
 */
export async function runCommand(world: World, console: Console, version: string): Promise<number> {
  let code = 0;
  const program = new Command("ocinet")
    .description(summary)
    .configureOutput(outputTo(console))
    .version(`ocinet ${version}`, "-v, --version", "print the version")
    .exitOverride().showHelpAfterError("(ocinet --help says more)").helpCommand(false)
    .configureHelp(helpLayout).enablePositionalOptions()
    .addHelpText(
      "after",
      () =>
        `\n${
          topicList(console.columns?.() ?? 80)
        }\nExample:\n  ocinet run -p 8080:80 -- python3 -m http.server 80\n` +
        "ocinet help COMMAND, or ocinet help TOPIC, says more.",
    );
  for (const verb of verbs.toSorted((a, b) => placeOf(a) - placeOf(b))) {
    addVerb(groupOf(program, verb), verb).action(async (...all: unknown[]) => {
      const own = all[verb.usage.split(" ").length - 1] as Readonly<Record<string, unknown>>;
      const words = all.slice(0, verb.usage.split(" ").length - 1).flat() as (string | undefined)[];
      if (!verb.runs) refuseEmpty(verb, words);
      const format = ownOption(verb, "format") ? undefined : own["format"] as string | undefined;
      code = await perform(world, console, { verb, format }, {
        words,
        given: givenOf(world, verb, own),
        flags: flagsOf(own),
        version,
        screen: () => screenOf(console),
        stdin: () => console.stdin(),
      });
    });
  }
  try {
    await configured(program, console).parseAsync(wordsOf(program, console), { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const failed = failure(error);
    console.print("stderr", failed.text + traceOf(world, error));
    return failed.code;
  }
}

/** An empty word is a variable that has no value. @throws UsageError naming what it was to be */
function refuseEmpty({ usage }: Verb, words: readonly (string | undefined)[]): void {
  const names = usage.split(" ").slice(1);
  const empty = words.indexOf("");
  if (empty >= 0) throw new UsageError(`Cannot use "" as ${names[empty] ?? names.at(-1)}: it is empty`);
}

/** What was typed, as it is meant; what is neither a command nor a topic becomes an unknown command that is like one. */
function wordsOf(program: Command, console: Console): string[] {
  const words = asMeant(console.args(), Object.keys(groups), verbs.map(nameOf));
  const [first, topic] = words;
  if (first !== "help" || topic === undefined || topicNamed(topic) || topic.startsWith("-")) {
    return [...words];
  }
  for (const { name } of allTopics()) if (!verbs.some((verb) => nameOf(verb) === name)) program.command(name);
  return [topic];
}

/** Commands copy these settings from the program only when they are made by it, and ours are made before. */
function configured(program: Command, console: Console): Command {
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
    command.configureOutput(outputTo(console));
  }
  return program;
}

/** Commander's own functions for width and colours would set up Deno's Node layer, at a third of the time of a start. */
function outputTo(console: Console): OutputConfiguration {
  const columns = () => console.columns?.();
  return {
    writeOut: (text) => console.print("stdout", text),
    writeErr: (text) => console.print("stderr", text),
    outputError: (text, write) => write(advised(text).replace(/^error: /, "ocinet: ")),
    getOutHelpWidth: columns as () => number,
    getErrHelpWidth: columns as () => number,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  };
}

function screenOf(console: Console): Screen {
  const columns = console.columns?.();
  return { columns: columns ?? 80, isTerminal: columns !== undefined };
}

/** The command that it is a verb of, made for the first. */
function groupOf(program: Command, { group }: Verb): Command {
  if (group === undefined) return program;
  const { text, example } = groups[group];
  return program.commands.find((command) => command.name() === group) ??
    program.command(group).description(text).exitOverride().enablePositionalOptions().helpCommand(false)
      .helpGroup(headingOf(group).heading).configureHelp(helpLayout)
      .showHelpAfterError(`(ocinet ${group} --help says more)`)
      .addHelpText("after", `\nExample:\n  ${example}${topicLine(group)}`);
}

/** A line that names the topic which a command, or a group of commands, is about. */
function topicLine(command: string): string {
  const topic = topicOf(command);
  return topic === undefined ? "" : `\nMore: ocinet help topic ${topic}`;
}

function placeOf({ group, usage }: Verb): number {
  return headingOf(group ?? usage.split(" ")[0]!).place;
}

function addVerb(program: Command, verb: Verb): Command {
  const { usage, text, example, more = "", runs = false, options, flags, group } = verb;
  const name = nameOf(verb);
  const command: Command = program.command(usage).description(text).exitOverride().passThroughOptions(runs)
    .configureHelp(helpLayout).showHelpAfterError(`(ocinet ${name} --help says more)`)
    .addHelpText("after", () => `${wrap(more, widthOf(command))}\nExample:\n  ${example}${topicLine(name)}`);
  if (group === undefined) command.helpGroup(headingOf(name).heading);
  const isOwn = (option: Option) => optionHeading(option) === ownHeading;
  const all = inGroups(options ?? []);
  all.filter(isOwn).forEach((option) => addOption(command, option));
  Object.entries(flags ?? {}).forEach(([name, text]) => {
    const [letter, long] = name.split(", ");
    command.option(long === undefined ? `--${letter}` : `-${letter}, --${long}`, text);
  });
  all.filter((option) => !isOwn(option)).forEach((option) => addOption(command, option));
  for (const [words, text] of outputOptions(verb)) {
    const made = new CommanderOption(words, text).helpGroup(outputHeading);
    command.addOption(
      words.startsWith("--log-level") ? made.choices(["error", "debug"]).default("error") : made,
    );
  }
  return command.addHelpOption(new CommanderOption("-h, --help", "print help").helpGroup(outputHeading));
}

/** The terminal's width, or 80 columns. */
function widthOf(command: Command): number {
  return command.configureOutput().getOutHelpWidth?.() ?? 80;
}

function addOption(command: Command, option: Option): void {
  const { name, short, also, value, text, many, bare } = option;
  const valued = bare ? `[${value}]` : `<${value}>`;
  const make = (words: string) => {
    const made = new CommanderOption(words, text).helpGroup(optionHeading(option));
    return many
      ? made.argParser((one: string, all: readonly string[] | undefined) => [...all ?? [], one])
      : made;
  };
  command.addOption(make(`${short ? `-${short}, ` : ""}--${name} ${valued}`));
  // The name that it has elsewhere is taken, and not told.
  if (also !== undefined) command.addOption(make(`--${also} ${valued}`).hideHelp());
}

/** Commander's values by option, whose keys are in camel case; directories from where they were typed. */
function givenOf(world: World, { options }: Verb, own: Readonly<Record<string, unknown>>): OptionValues {
  return new Map((options ?? []).flatMap(({ name, also, value: kind }) => {
    const typed = [name, ...also === undefined ? [] : [also]].flatMap((one) =>
      own[camelCase(one)] as string | true ?? []
    );
    if (typed.length === 0) return [];
    // True stands for an option without its value.
    const values = typed.map((value) => value === true ? "" : value);
    const absolute = (path: string) =>
      /^(\/|$)/.test(path) ? path : `${world.readLink("/proc/self/cwd")}/${path}`;
    return [[name, kind === "DIR" ? values.map(absolute) : values]];
  }));
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** The flags that are set, and whether there is a template or a level; commander keeps `--no-X` as an `X` that is false. */
function flagsOf(own: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const names = Object.entries(own).filter(([, value]) => typeof value === "boolean").map(([key, value]) =>
    `${value ? "" : "no-"}${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  );
  return new Set([
    ...names,
    ...own["logLevel"] === "debug" ? ["debug"] : [],
    ...own["format"] === undefined ? [] : ["format"],
  ]);
}

/** A command that was typed, and the template of its answer. */
interface Called {
  readonly verb: Verb;
  readonly format: string | undefined;
}

async function perform(world: World, console: Console, called: Called, typed: Typed): Promise<number> {
  const { verb, format } = called;
  if (isInside(nameOf(verb), typed.words)) return await runInside(world, console);
  const [dryRun, json, debug] = ["dry-run", "json", "debug"].map((flag) => typed.flags.has(flag));
  const isQuiet = typed.flags.has("quiet") && !("q, quiet" in (verb.flags ?? {}));
  if (format !== undefined) asTyped(() => checkTemplate(format));
  const lines: string[] = [];
  const plan = (line: string) => json ? lines.push(line) : console.print("stdout", `${line}\n`);
  const print = (text: string) => console.print("stderr", text);
  const dry = dryRun ? dryWorld(world, plan) : world;
  const isWatched = console.isWatched?.() && !debug && !isQuiet && !verb.runs && !verb.plain;
  const progress = isWatched ? watched(dry, print) : undefined;
  const acting = progress?.world ?? (debug ? loggingWorld(dry, (line) => print(`${line}\n`)) : dry);
  const report = await verb.act(acting, typed).finally(progress?.end);
  const text = () =>
    dryRun ? report.dryText ?? "" : format === undefined ? report.text : filled(report, format);
  if (json) console.print("stdout", jsonText(report, dryRun ? lines : undefined));
  else if (!isQuiet) console.print("stdout", text());
  if (report.note !== undefined && !isQuiet) print(`ocinet: ${oneLine(report.note)}\n`);
  return report.code ?? 0;
}

function ownOption({ options = [] }: Verb, name: string): boolean {
  return options.some((option) => option.name === name);
}

/** Each item of the answer as JSON on a line of its own, or by a template. */
function filled({ json }: Report, format: string): string {
  return asTyped(() => rowsText(format, Array.isArray(json) ? json : [json]));
}

function jsonText(report: Report, lines: readonly string[] | undefined): string {
  return `${printJson(lines ? { lines, report: report.json } : report.json, 2)}\n`;
}
