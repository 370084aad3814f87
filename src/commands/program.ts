import { Command, CommanderError, Option as CommanderOption } from "commander";
import { oneLine, printJson } from "../wire/cni/output.ts";
import { dryWorld } from "../host/dry.ts";
import { loggingWorld } from "../host/logging.ts";
import type { Option, OptionValues } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { failure, traceOf } from "./failure.ts";
import type { Report } from "./report.ts";
import { groups, type Typed, type Verb, verbs } from "./verbs.ts";

/** What a command line needs of the process it runs in. */
export interface Console {
  args(): readonly string[];
  stdin(): Promise<string>;
  print(to: "stdout" | "stderr", text: string): void;
}

/**
 * Reads the command line and does what it says.
 * @returns 0 done, 1 failed, 2 wrong use
 */
export async function runCommand(world: World, console: Console, version: string): Promise<number> {
  let code = 0;
  const program = new Command("ocinet")
    .description(
      "A network for any OCI container, root or rootless: a hook for runc, crun and podman, and a command",
    )
    .configureOutput({
      writeOut: (text) => console.print("stdout", text),
      writeErr: (text) => console.print("stderr", text),
      outputError: (text, write) => write(text.replace(/^error: /, "ocinet: ")),
    })
    .version(`ocinet ${version}`, "--version", "print the version")
    .exitOverride().showHelpAfterError("(ocinet --help says more)").helpCommand(false)
    .enablePositionalOptions()
    .addHelpText(
      "after",
      "\nExample:\n  ocinet inject -p 8080:80 ./bundle && runc run --bundle ./bundle box",
    );
  for (const verb of verbs) {
    addVerb(groupOf(program, verb), verb).action(async (...all: unknown[]) => {
      const own = all[verb.usage.split(" ").length - 1] as Readonly<Record<string, unknown>>;
      const words = all.slice(0, verb.usage.split(" ").length - 1).flat() as (string | undefined)[];
      code = await perform(world, console, verb, {
        words,
        given: givenOf(world, verb, own),
        flags: flagsOf(own),
        version,
        stdin: () => console.stdin(),
      });
    });
  }
  try {
    await configured(program, console).parseAsync([...console.args()], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const failed = failure(error);
    console.print("stderr", failed.text + traceOf(world, error));
    return failed.code;
  }
}

/** Commands copy these settings from the program only when they are made by it, and ours are made before. */
function configured(program: Command, console: Console): Command {
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
    command.configureOutput({
      writeOut: (text) => console.print("stdout", text),
      writeErr: (text) => console.print("stderr", text),
      outputError: (text, write) => write(text.replace(/^error: /, "ocinet: ")),
    });
  }
  return program;
}

/** The command that it is a verb of, made for the first. */
function groupOf(program: Command, { group }: Verb): Command {
  if (group === undefined) return program;
  const { text, example } = groups[group];
  return program.commands.find((command) => command.name() === group) ??
    program.command(group).description(text).exitOverride().enablePositionalOptions().helpCommand(false)
      .addHelpText("after", `\nExample:\n  ${example}`);
}

function addVerb(
  program: Command,
  { usage, text, example, more = "", changes, runs = false, options, flags }: Verb,
): Command {
  const command = program.command(usage).description(text).exitOverride().passThroughOptions(runs)
    .addHelpText("after", `${more}\nExample:\n  ${example}`)
    .addOption(
      new CommanderOption("--log-level <level>", "tell every program that is run").choices(["error", "debug"])
        .default("error"),
    );
  if (!runs) command.option("--json", "answer in JSON");
  if (changes) {
    command.option("--dry-run", "print what would be done, as lines for ip and nft, and do nothing");
  }
  options?.forEach((option) => addOption(command, option));
  Object.entries(flags ?? {}).forEach(([name, text]) => {
    const [letter, long] = name.split(", ");
    command.option(long === undefined ? `--${letter}` : `-${letter}, --${long}`, text);
  });
  return command;
}

function addOption(command: Command, { name, short, value, text, many }: Option): void {
  const words = `${short ? `-${short}, ` : ""}--${name} <${value}>`;
  if (many) command.option(words, text, (one: string, all: string[] | undefined) => [...all ?? [], one]);
  else command.option(words, text);
}

/** Commander's values by option, whose keys are in camel case; directories from where they were typed. */
function givenOf(world: World, { options }: Verb, own: Readonly<Record<string, unknown>>): OptionValues {
  return new Map((options ?? []).flatMap(({ name, value: kind }) => {
    const value = own[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (value === undefined) return [];
    const values = ([] as string[]).concat(value as string);
    return [[
      name,
      kind === "DIR"
        ? values.map((path) => path.startsWith("/") ? path : `${world.readLink("/proc/self/cwd")}/${path}`)
        : values,
    ]];
  }));
}

function flagsOf(own: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const set = Object.keys(own).filter((key) => own[key] === true);
  const names = set.map((key) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
  return new Set(own["logLevel"] === "debug" ? [...names, "debug"] : names);
}

async function perform(world: World, console: Console, verb: Verb, typed: Typed): Promise<number> {
  const [dryRun, json] = [typed.flags.has("dry-run"), typed.flags.has("json")];
  const lines: string[] = [];
  const plan = (line: string) => json ? lines.push(line) : console.print("stdout", `${line}\n`);
  const tell = (line: string) => console.print("stderr", `${line}\n`);
  const dry = dryRun ? dryWorld(world, plan) : world;
  const report = await verb.act(typed.flags.has("debug") ? loggingWorld(dry, tell) : dry, typed);
  console.print(
    "stdout",
    json ? jsonText(report, dryRun ? lines : undefined) : dryRun ? report.dryText ?? "" : report.text,
  );
  if (report.note !== undefined) console.print("stderr", `ocinet: ${oneLine(report.note)}\n`);
  return report.code ?? 0;
}

function jsonText(report: Report, lines: readonly string[] | undefined): string {
  return `${printJson(lines ? { lines, report: report.json } : report.json, 2)}\n`;
}
