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
} from "../../plan/world.ts";
import { watch } from "../node/programs.ts";
import { type PreparedPrograms, preparedPrograms } from "../prepared.ts";
import { isBlocked, printBytes, signal } from "./process.ts";
import { later } from "./timer.ts";

/** What Deno starts. */
export function denoPrograms(world: Surroundings): Programs {
  const prepared = preparedPrograms(world, {
    start: (argv) => spawn(world, argv, { stdin: "" }),
    write: ({ stdin }, text) => void write(stdin, text),
    end,
  });
  return {
    run: (argv, options) => run(world, argv, options, prepared),
    prepare: prepared.prepare,
    ask: (argv) => ask(world, argv),
    watch: (argv, tell) => watch(world, argv, tell),
    hold: (argv) => hold(world, argv),
    start: (argv, env) => start(world, argv, env),
  };
}

function ask(world: Surroundings, [program, ...args]: readonly string[]): string {
  const options = { args, clearEnv: true, env: cleanEnvironment(world) };
  const { stderr } = new Deno.Command(needProgram(world, program!), options).outputSync();
  return new TextDecoder().decode(stderr);
}

function start(
  world: Surroundings,
  [program, ...words]: readonly string[],
  env: Readonly<Record<string, string>>,
): Started {
  // What is blocked in us would be in it.
  const unblocked = isBlocked(world) ? ["/usr/bin/env", "--default-signal=USR1", "--"] : [];
  const [path, ...args] = [...unblocked, needProgram(world, program!), ...words];
  const child = new Deno.Command(path!, {
    ...{ args, clearEnv: true, env: { ...env } },
    ...{ stdin: "inherit", stdout: "inherit", stderr: "inherit" },
  }).spawn();
  return { pid: child.pid, ended: child.status.then(({ code }) => code) };
}

function spawn(
  world: Surroundings,
  [program, ...args]: readonly string[],
  { env, stdin }: RunOptions,
): Deno.ChildProcess {
  return new Deno.Command(needProgram(world, program!), {
    args,
    clearEnv: true,
    env: { ...(env ?? cleanEnvironment(world)) },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

function end(child: Deno.ChildProcess): void {
  kill(child);
  for (const over of [child.stdin.close(), child.output()]) over.catch(() => {});
}

/** See `World.run`. */
export async function run(
  world: Surroundings,
  argv: readonly string[],
  options: RunOptions = {},
  prepared?: PreparedPrograms<Deno.ChildProcess>,
): Promise<Output> {
  const { timeout: limit = usualLimit, stdin, env } = options;
  const taken = stdin === undefined || env ? undefined : prepared?.take(argv);
  const child = taken?.child ?? spawn(world, argv, options);
  const fed = stdin === undefined ? undefined : feed(child.stdin, (taken?.head ?? "") + stdin);
  const output = child.output();
  // What it started may outlive it, and keep its output open; and it may itself be where no signal ends it.
  let inTime = () => {};
  const late = new Promise<undefined>((resolve) => inTime = later(limit, () => resolve(undefined)));
  const ended = await Promise.race([output, late]).finally(() => inTime());
  if (!ended) {
    kill(child);
    return tookTooLong(limit, { stdout: "", stderr: "" });
  }
  await fed;
  const { code, stdout, stderr } = ended;
  if (options.passOn && code === 0) printBytes("stderr", stderr);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch { /* It has ended, and what it started has not. */ }
}

async function write(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  const written = writer.write(new TextEncoder().encode(text));
  writer.releaseLock();
  // Whether it has ended is looked at before it is used.
  await written.catch(() => {});
}

async function feed(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The program ended without reading it all; its exit status says why.
    await writer.abort().catch(() => {});
  }
}

async function hold(world: Surroundings, [program, ...args]: readonly string[]): Promise<Held> {
  const child = new Deno.Command(needProgram(world, program!), {
    ...{ args, clearEnv: true, env: cleanEnvironment(world) },
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  let [isReady, isLate] = [false, false];
  const group = program === "setsid" ? -child.pid : child.pid;
  const inTime = later(holdTimeoutMs, () => isLate = signal(group, "SIGKILL"));
  // An unshare(1) that cannot make the namespaces leaves the process that was to map ids in them (2.38): that waits for
  // ever, and has our pipes.
  if (group < 0) child.status.then(() => isReady || signal(group, "SIGKILL"));
  const said = child.stdout.getReader();
  isReady = !(await said.read()).done;
  inTime();
  const close = () => child.stdin.close().catch(() => {});
  if (!isReady) {
    await close();
    const problem = (await new Response(child.stderr).text()).trim();
    throw isLate ? notReady(args) : new Error(problem);
  }
  // A pipe that is not read to its end stays open when the program has ended.
  const ended = child.status.finally(() => Promise.all([said.cancel(), child.stderr.cancel()]));
  let end: Promise<unknown> | undefined;
  return { pid: child.pid, ended, letGo: async () => void await (end ??= Promise.all([close(), ended])) };
}

/** Deno, should it be that, keeps its things where our launcher says. */
function cleanEnvironment(world: Surroundings): Record<string, string> {
  const cache = Deno.env.get("DENO_DIR");
  return { LC_ALL: "C", PATH: searchPath(world).join(":"), ...(cache ? { DENO_DIR: cache } : {}) };
}
