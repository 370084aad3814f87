/**
 * Where the time of a cold hook goes: the kernel's tracepoints tell when each program starts and ends, which costs next to
 * nothing. strace would add half of the whole: it stops each of the runtime's threads.
 */
import { hook, run } from "./bench_contenders.ts";
import { onHost } from "./bench_namespaces.ts";

const trace = "/run/trace";
const perf = [
  "perf",
  "record",
  "-q",
  "-o",
  trace,
  "-e",
  "sched:sched_process_exec,sched:sched_process_exit",
  "--",
];

/** Milliseconds by what took them, in their order. */
type Shares = ReadonlyMap<string, number>;

/** Prints the medians for each runtime. */
export async function printShares(rounds: number): Promise<void> {
  for (const runtime of [Deno.execPath(), "node"]) {
    const child = new Deno.Command("unshare", {
      args: onHost([Deno.execPath(), "run", "-A", import.meta.filename!, runtime, `${rounds}`]),
    }).spawn();
    if (!(await child.status).success) throw new Error(`Cannot measure a hook's shares on ${runtime}`);
  }
}

if (import.meta.main) await measure(Deno.args[0]!, Number(Deno.args[1]));

async function measure(runtime: string, rounds: number): Promise<void> {
  const contender = hook(runtime, "bench", perf);
  await contender.prepare?.();
  await run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"]);
  Deno.writeTextFileSync("/run/empty.js", "");
  const shares: Record<"up" | "down", Shares[]> = { up: [], down: [] };
  const bare: number[] = [];
  for (let i = -2; i < rounds; i++) {
    const box = new Deno.Command("unshare", { args: ["--net", "sleep", "infinity"], stdin: "null" }).spawn();
    while (Deno.readLinkSync(`/proc/${box.pid}/ns/net`) === Deno.readLinkSync("/proc/self/ns/net")) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const verb of ["up", "down"] as const) {
      await contender[verb](`round${i + 2}`, box.pid, 8080);
      if (i >= 0) shares[verb].push(sharesOf(await run(["perf", "script", "-i", trace])));
    }
    const start = performance.now();
    await run(runtime === "node" ? ["node", "/run/empty.js"] : [runtime, "run", "-A", "/run/empty.js"]);
    if (i >= 0) bare.push(performance.now() - start);
    box.kill("SIGKILL");
    await box.status;
  }
  const title = `on ${runtime === "node" ? "Node" : "Deno"}, which takes ${
    middle(bare).toFixed(0)
  } ms for an empty script`;
  for (const [verb, what] of [["up", "attaches"], ["down", "takes down"]] as const) {
    console.log(`\n# Where the time of a hook goes that ${what} (ms, median of ${rounds}) ${title}\n`);
    for (const name of new Set(shares[verb].flatMap((one) => [...one.keys()]))) {
      const time = middle(shares[verb].map((one) => one.get(name) ?? 0));
      if (time > 0) console.log(`  ${name.padEnd(40)} ${time.toFixed(1).padStart(6)}`);
    }
  }
}

/** A program's run: from its start to its end, in milliseconds. */
interface Ran {
  readonly pid: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** Programs that run at once are one share, by the names of all. What no program takes is the runtime's. */
function sharesOf(text: string): Shares {
  const ran = programsIn(text);
  const [first] = ran;
  const isRuntime = ({ pid, name }: Ran) => pid === first!.pid && /^(deno|node)$/.test(name);
  const runtime = ran.find(isRuntime)!;
  const others = ran.filter(({ pid }) => pid !== first!.pid);
  const shares = new Map([["launcher: sh, env", runtime.start - first!.start]]);
  let [at, before] = [runtime.start, "runtime starts, looks and plans"];
  for (let i = 0; i < others.length;) {
    const names: string[] = [];
    let [start, end] = [others[i]!.start, 0];
    for (; i < others.length && (end === 0 || others[i]!.start < end); i++) {
      names.push(others[i]!.name);
      end = Math.max(end, others[i]!.end);
    }
    add(shares, before, start - at);
    add(shares, [...new Set(names)].join(" beside "), end - start);
    [at, before, start] = [end, "runtime between programs", end];
  }
  add(shares, "runtime writes, ends", runtime.end - at);
  add(shares, "in all", runtime.end - first!.start);
  return shares;
}

function add(shares: Map<string, number>, name: string, time: number): void {
  shares.set(name, (shares.get(name) ?? 0) + time);
}

function programsIn(text: string): readonly Ran[] {
  const open = new Map<string, Omit<Ran, "end">>();
  const ran: Ran[] = [];
  const close = (pid: string, end: number) => {
    const one = open.get(pid);
    if (one) ran.push({ ...one, end });
    open.delete(pid);
  };
  // A thread's end is not its process's.
  const event = /^.* (\d+) +\[\d+\] +([\d.]+): +sched:sched_process_(?:exec: filename=(\S+) .*|exit: .*)$/gm;
  for (const [, pid, seconds, path] of text.matchAll(event)) {
    const at = 1000 * Number(seconds);
    close(pid!, at);
    if (path) open.set(pid!, { pid: pid!, name: path.slice(path.lastIndexOf("/") + 1), start: at });
  }
  return ran.toSorted((a, b) => a.start - b.start);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
