import type * as ChildProcess from "node:child_process";
import type * as Os from "node:os";
import { needProgram, searchPath } from "../../plan/programs.ts";
import {
  type Held,
  holdTimeoutMs,
  notReady,
  type Output,
  type Programs,
  type RunOptions,
  type Started,
  type Surroundings,
  tookTooLong,
  usualLimit,
  type Watched,
} from "../../plan/world.ts";
import { type PreparedPrograms, preparedPrograms } from "../prepared.ts";
import { builtin } from "./builtin.ts";
import { nodeProcess, signal } from "./process.ts";

/** What Node starts. */
export function nodePrograms(world: Surroundings): Programs {
  const prepared = preparedPrograms(world, {
    start: (argv) => spawnAhead(world, argv),
    write: ({ stdin }, text) => void stdin!.write(text),
    end,
  });
  return {
    run: (argv, options) => run(world, argv, prepared, options),
    prepare: prepared.prepare,
    ask: (argv) => ask(world, argv),
    watch: (argv, tell) => watch(world, argv, tell),
    hold: (argv) => hold(world, argv),
    start: (argv, env) => start(world, argv, env),
  };
}

function ask(world: Surroundings, [program, ...args]: readonly string[]): string {
  return builtin<typeof ChildProcess>("node:child_process").spawnSync(needProgram(world, program!), args, {
    env: cleanEnvironment(world),
    encoding: "utf8",
  }).stderr;
}

function start(
  world: Surroundings,
  [program, ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Started {
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(
    needProgram(world, program!),
    args,
    { env: { ...env }, stdio: "inherit" },
  );
  const { signals } = builtin<typeof Os>("node:os").constants;
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? 128 + signals[signal!]));
  });
  return { pid: child.pid!, ended };
}

function spawn(
  world: Surroundings,
  [program, ...args]: readonly string[],
  { env, stdin }: RunOptions,
): ChildProcess.ChildProcess {
  return builtin<typeof ChildProcess>("node:child_process").spawn(needProgram(world, program!), args, {
    env: { ...(env ?? cleanEnvironment(world)) },
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
}

/** Undefined if no descriptor is left for it. */
function spawnAhead(world: Surroundings, argv: readonly string[]): ChildProcess.ChildProcess | undefined {
  const child = spawn(world, argv, { stdin: "" });
  child.on("error", () => {});
  return child.stdout ? child : undefined;
}

function end(child: ChildProcess.ChildProcess): void {
  child.kill("SIGKILL");
  child.stdio.forEach((stream) => stream?.destroy());
}

function run(
  world: Surroundings,
  argv: readonly string[],
  prepared: PreparedPrograms<ChildProcess.ChildProcess>,
  options: RunOptions = {},
): Promise<Output> {
  const { timeout: limit = usualLimit, stdin, env } = options;
  return new Promise((resolve, reject) => {
    const taken = stdin === undefined || env ? undefined : prepared.take(argv);
    const child = taken?.child ?? spawn(world, argv, options);
    child.on("error", reject);
    // Where no descriptor is left it has no streams, and the error comes a moment later.
    if (!child.stdout) return;
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => stderr += text);
    // What it started may outlive it, and keep its output open; and it may itself be where no signal ends it.
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      [child.stdout, child.stderr].forEach((stream) => stream!.destroy());
      child.unref();
      resolve(tookTooLong(limit, { stdout, stderr }));
    }, limit);
    child.on("error", () => clearTimeout(timer));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (options.passOn && code === 0) nodeProcess.print("stderr", stderr);
      resolve({
        code: code ?? 128 + builtin<typeof Os>("node:os").constants.signals[signal!],
        stdout,
        stderr,
      });
    });
    // A program that ends without reading it all closes the pipe; its exit status says why.
    child.stdin?.on("error", () => {}).end((taken?.head ?? "") + stdin);
  });
}

function hold(world: Surroundings, [program, ...args]: readonly string[]): Promise<Held> {
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(
    needProgram(world, program!),
    args,
    { env: cleanEnvironment(world), stdio: "pipe" },
  );
  // See `run`.
  if (!child.stdout) return new Promise((_, reject) => child.on("error", reject));
  const ended = new Promise((resolve) => child.on("close", resolve));
  const letGo = async () => {
    child.stdin.end();
    await ended;
  };
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  let isLate = false;
  const group = () => program === "setsid" ? -child.pid! : child.pid!;
  const endRest = () => signal(group(), "SIGKILL");
  const timer = setTimeout(() => isLate = endRest(), holdTimeoutMs);
  // See deno/programs.ts.
  if (program === "setsid") child.once("exit", endRest);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.stdout.once("data", () => {
      clearTimeout(timer);
      child.off("exit", endRest);
      resolve({ pid: child.pid!, ended, letGo });
    });
    ended.then(() => {
      clearTimeout(timer);
      reject(isLate ? notReady(args) : new Error(stderr.trim()));
    });
  });
}

function cleanEnvironment(world: Surroundings): Record<string, string> {
  return { LC_ALL: "C", PATH: searchPath(world).join(":") };
}

/** Runs a program until it ends, or our end of standard input closes, which the kernel does however we end. */
const lifeline =
  'exec 3<&0; "$@" </dev/null 3<&- & told=$!; { read -r _ <&3; kill "$told"; } 2>/dev/null & ' +
  'wait "$told"; kill $! 2>/dev/null';

/** Watches through Node's API, which Deno has as well: a service can wait for it to load. */
export function watch(world: Surroundings, argv: readonly string[], tell: (line: string) => void): Watched {
  const child = builtin<typeof ChildProcess>("node:child_process").spawn(
    needProgram(world, "sh"),
    ["-c", lifeline, "sh", ...argv],
    { env: cleanEnvironment(world), stdio: ["pipe", "pipe", "ignore"] },
  );
  let rest = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(tell);
  });
  const ended = new Promise<void>((resolve) => {
    child.on("error", () => resolve());
    child.on("close", () => resolve());
  });
  child.stdin?.on("error", () => {});
  return { ended, stop: () => void child.stdin?.end() };
}
