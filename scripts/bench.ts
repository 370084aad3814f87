/**
 * Times attaching a container, and taking it down again: whole processes, cold, in turns, with no other container there
 * and with 400; our hook on hosts that have more and more (bench_growth.ts); what of a hook's time each program takes
 * (bench_shares.ts); what passes by each way that an ordinary user's container has (bench_rootless.ts), and between two
 * hosts of a cluster (bench_overlay); asking a plugin for its versions; Docker's network commands (bench_networks). Ratios
 * are medians of one run. And it measures memory (bench_memory.ts), and what stays of containers that have gone
 * (bench_lasting.ts), and our resolver's answers (bench_resolver.ts).
 *
 * usage: bench [hook|cni|growth|shares|version|memory|lasting|resolver|rootless|networks|overlay|all] [ROUNDS]
 */
import { type Contender, type Group, groups as jobGroups, versionAskers } from "./bench_contenders.ts";
import { growth, mostGrowth } from "./bench_growth.ts";
import { printLasting } from "./bench_lasting.ts";
import { printMemory } from "./bench_memory.ts";
import { onHost } from "./bench_namespaces.ts";
import { printResolver } from "./bench_resolver.ts";
import { printShares } from "./bench_shares.ts";

const groups: Readonly<Record<string, Group>> = { ...jobGroups, growth };
const crowd = 400;

const [job = "all", ...words] = Deno.args;
if (job === "worker") await work(groups[words[0]!]!.contenders[words[1]!]!);
else {
  const jobs = [
    ...Object.keys(groups),
    "shares",
    "version",
    "memory",
    "lasting",
    "rootless",
    "networks",
    "overlay",
  ];
  const names = job === "all" ? jobs : [job];
  const unknown = names.find((name) => !jobs.includes(name));
  if (unknown) throw new Error(`Cannot time "${unknown}": it is not one of all, ${jobs.join(", ")}`);
  if (words[0] !== undefined && !/^[1-9][0-9]*$/.test(words[0])) {
    throw new Error(`Cannot time "${words[0]}" rounds: ROUNDS is a number above 0`);
  }
  for (const name of names) {
    if (name === "rootless") await compareRootless(words);
    else if (name === "networks") await compareNetworks(words);
    else if (name === "overlay") await compareHosts(words);
    else if (name === "shares") await printShares(Number(words[0] ?? 20));
    else if (name === "version") await compareVersion(Number(words[0] ?? 20));
    else if (name === "memory") await printMemory();
    else if (name === "resolver") await printResolver();
    else if (name === "lasting") await printLasting(Number(words[0] ?? 500));
    else await compare(name, groups[name]!, Number(words[0] ?? 20));
  }
}
Deno.exit(0);

/** Milliseconds that one attaching and one taking down took, and, where that is asked for, what of it was processors'. */
interface Times {
  /** Looking and planning, without what the kernel is then asked to do. */
  readonly plan?: number;
  readonly up: number;
  readonly down: number;
  readonly spent?: Readonly<Record<"plan" | "up" | "down", number>>;
}

/** One contender in a host of its own, driven by lines on its standard input: `round`, or `fill N`. */
async function work(contender: Contender): Promise<void> {
  await contender.prepare?.();
  let made = 0;
  for await (const line of lines(Deno.stdin.readable)) {
    const [verb, count] = line.split(" ");
    if (verb === "fill") {
      for (let i = 0; i < Number(count); i++) await attach(contender, `crowd${made++}`, 20000 + made);
      console.log("{}");
    } else console.log(JSON.stringify(await round(contender, `round${made++}`)));
  }
}

async function attach(contender: Contender, id: string, port: number): Promise<Deno.ChildProcess> {
  const box = new Deno.Command("unshare", { args: ["--net", "sleep", "infinity"], stdin: "null" }).spawn();
  await ownNamespace(box.pid);
  await contender.up(id, box.pid, port);
  return box;
}

async function round(contender: Contender, id: string): Promise<Times> {
  const box = new Deno.Command("unshare", { args: ["--net", "sleep", "infinity"], stdin: "null" }).spawn();
  await ownNamespace(box.pid);
  const took: number[] = [];
  const spent: number[] = [];
  for (const act of [contender.plan, contender.up, contender.down]) {
    const start = performance.now();
    await act?.(id, box.pid, 8080);
    took.push(performance.now() - start);
    if (contender.spent) spent.push(contender.spent());
  }
  box.kill("SIGKILL");
  await box.status;
  const [plan, up, down] = took as [number, number, number];
  if (!contender.spent) return { up, down };
  return { plan, up, down, spent: { plan: spent[0]!, up: spent[1]!, down: spent[2]! } };
}

async function ownNamespace(pid: number): Promise<void> {
  const ours = Deno.readLinkSync("/proc/self/ns/net");
  while (Deno.readLinkSync(`/proc/${pid}/ns/net`) === ours) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const [...whole] = (rest + part).split("\n");
    rest = whole.pop()!;
    yield* whole;
  }
}

/** Nothing is made by it, so no contender needs a host of its own. */
async function compareVersion(rounds: number): Promise<void> {
  const directory = Deno.makeTempDirSync();
  Deno.symlinkSync(Deno.realPathSync("dist/ocinet"), `${directory}/bridge`);
  const askers = Object.entries(versionAskers(`${directory}/bridge`));
  const times: Record<string, number[]> = {};
  for (let i = -2; i < rounds; i++) {
    for (const [name, ask] of askers) {
      const start = performance.now();
      await ask();
      if (i >= 0) (times[name] ??= []).push(performance.now() - start);
    }
  }
  Deno.removeSync(directory, { recursive: true });
  const base = askers.at(-1)![0];
  console.log(`\n# VERSION of a plugin\n\nmedian of ${rounds}; ratio to ${base}`);
  for (const [name, own] of Object.entries(times)) {
    const [time, others] = [middle(own), middle(times[base]!)];
    console.log(`  ${name.padEnd(28)} ${time.toFixed(0).padStart(4)} ms ${ratio(time / others)}`);
  }
}

/** On a host that ends with us: then no process holds its standard input. */
async function compareRootless(words: readonly string[]): Promise<void> {
  const measure = [Deno.execPath(), "run", "-A", "scripts/bench_rootless.ts", ...words];
  const child = new Deno.Command("scripts/bench_host", { args: measure, stdin: "piped" }).spawn();
  const { success } = await child.status;
  if (!success) throw new Error("Cannot measure the ways to the world: see above");
}

async function compareNetworks(words: readonly string[]): Promise<void> {
  console.log("\n# Docker's network commands\n");
  const { success } = await new Deno.Command("scripts/bench_networks", { args: [...words] }).spawn().status;
  if (!success) throw new Error("Cannot compare commands of networks: see above");
}

/** Between hosts of a cluster, which are namespaces, too. */
async function compareHosts(words: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command("scripts/bench_overlay", { args: [...words] }).spawn().status;
  if (!success) throw new Error("Cannot measure what passes between hosts: see above");
}

interface Worker {
  readonly name: string;
  ask(line: string): Promise<Times>;
  end(): Promise<void>;
}

function start(group: string, name: string): Worker {
  const child = new Deno.Command("unshare", {
    args: onHost([Deno.execPath(), "run", "-A", "scripts/bench.ts", "worker", group, name]),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [input, output] = [child.stdin.getWriter(), lines(child.stdout)];
  return {
    name,
    ask: async (line) => {
      await input.write(new TextEncoder().encode(`${line}\n`));
      const { value, done } = await output.next();
      if (done) throw new Error(`${name} ended early`);
      return JSON.parse(value);
    },
    end: async () => {
      await input.close();
      await child.status;
    },
  };
}

async function compare(
  name: string,
  { title, base, contenders, alone }: Group,
  rounds: number,
): Promise<void> {
  console.log(`\n# ${title}`);
  const names = Object.keys(contenders).filter((name) => contenders[name]!.isInstalled());
  const missing = Object.keys(contenders).filter((name) => !names.includes(name));
  if (missing.length > 0) console.log(`not installed, so not compared: ${missing.join(", ")}`);
  const workers = names.map((contender) => start(name, contender));
  const empty = await measure(workers, rounds);
  if (alone) {
    await Promise.all(workers.map((worker) => worker.end()));
    return reportGrowth(base, empty);
  }
  await Promise.all(workers.map((worker) => worker.ask(`fill ${crowd}`)));
  const crowded = await measure(workers, rounds);
  await Promise.all(workers.map((worker) => worker.end()));
  const compared = names.includes(base) ? base : names[0]!;
  report("with no other container", compared, empty);
  report(`with ${crowd} containers present`, compared, crowded);
  console.log("\ngrowth from none to all of them");
  for (const name of names) {
    const [up, down] = (["up", "down"] as const).map((what) =>
      median(crowded[name]!, what) / median(empty[name]!, what)
    );
    console.log(`  ${name.padEnd(28)} up ${ratio(up!)}   down ${ratio(down!)}`);
  }
}

async function measure(workers: readonly Worker[], rounds: number): Promise<Record<string, Times[]>> {
  const times: Record<string, Times[]> = Object.fromEntries(workers.map(({ name }) => [name, []]));
  for (let i = -2; i < rounds; i++) {
    for (const { name, ask } of workers) {
      const one = await ask("round");
      if (i >= 0) times[name]!.push(one);
    }
  }
  return times;
}

function report(title: string, base: string, times: Record<string, Times[]>): void {
  console.log(`\n${title} (median of ${times[base]!.length}; ratio to ${base})`);
  for (const name of Object.keys(times)) {
    const cells = (["up", "down"] as const).map((what) => {
      const own = median(times[name]!, what);
      return `${what} ${own.toFixed(0).padStart(4)} ms ${ratio(own / median(times[base]!, what))}`;
    });
    console.log(`  ${name.padEnd(28)} ${cells.join("   ")}`);
  }
}

/** Ratios are medians of those of each round, in which all take their turn. */
function reportGrowth(base: string, times: Record<string, Times[]>): void {
  const title = `median of ${times[base]!.length}; ratio to ${base}, which is to be ${mostGrowth} at most`;
  for (const [unit, valueOf] of [["ms", took], ["ms of processors", spent]] as const) {
    console.log(`\n${unit}, ${title}`);
    for (const [name, own] of Object.entries(times)) {
      const cells = (["plan", "up", "down"] as const).map((what) => {
        const grown = own.map((time, round) => valueOf(time, what) / valueOf(times[base]![round]!, what));
        const value = middle(own.map((time) => valueOf(time, what)));
        return `${what} ${value.toFixed(0).padStart(4)} ${ratio(middle(grown))}`;
      });
      console.log(`  ${name.padEnd(20)} ${cells.join("   ")}`);
    }
  }
}

function took(times: Times, what: "plan" | "up" | "down"): number {
  return times[what]!;
}

function spent(times: Times, what: "plan" | "up" | "down"): number {
  return times.spent![what];
}

function median(times: readonly Times[], what: "up" | "down"): number {
  return middle(times.map((time) => time[what]));
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function ratio(value: number): string {
  return `${value.toFixed(2)}x`;
}
