/**
 * Measures memory: the peak of the largest process of attaching a container and of taking it down (resident set, as
 * wait4(2) has it), and what stays as long as a container has its network: the proportional set size of every process
 * that is there then and was not before.
 *
 * usage: bench_memory.ts                       all, from scripts/bench.ts
 *        bench_memory.ts peak GROUP CONTENDER  in a host of its own; prints MB
 *        bench_memory.ts ways                  on the host of scripts/bench_host; prints MB of each way
 */
import { groups } from "./bench_contenders.ts";
import { onHost } from "./bench_namespaces.ts";
import { startHelper, ways } from "./bench_ways.ts";

/** Attachments of a contender, each of which is taken down again. The peak is their median. */
const rounds = 9;

/** Has the kilobytes of each program's largest process, a line each. */
const peaks = "/run/peaks";

/** A process that is forked has its parent's peak: so the parent is to be small. */
const through = `/usr/bin/time -a -o ${peaks} -f %M`;

/** Megabytes: at the most in one process, and, where an agent serves, of all that stays. */
interface Peak {
  readonly peak: number;
  readonly stays: number;
}

const [job, ...words] = Deno.args;
if (job === "peak") {
  console.log(JSON.stringify(await peakOf(words[0]!, words[1]!)));
  Deno.exit(0);
} else if (job === "ways") {
  await printWays();
  Deno.exit(0);
}

/** Prints the tables of all groups and ways. */
export async function printMemory(): Promise<void> {
  for (const [group, { title, contenders }] of Object.entries(groups)) {
    console.log(`\n# Memory: ${title}\n\nMB of the largest process at its peak, and of all that stays`);
    for (const [name, contender] of Object.entries(contenders)) {
      if (!contender.isInstalled()) continue;
      const argv = onHost(["env", `OCINET_BENCH_THROUGH=${through}`, ...self(), "peak", group, name]);
      const { peak, stays }: Peak = JSON.parse(await said("unshare", argv));
      console.log(`  ${name.padEnd(34)} ${peak.toFixed(0).padStart(4)} ${stays.toFixed(0).padStart(4)}`);
    }
  }
  console.log(
    "\n# Memory: what stays while an ordinary user's container has its network (one published port)\n\nMB",
  );
  console.log(await said("scripts/bench_host", [...self(), "ways"]));
}

function self(): string[] {
  return [Deno.execPath(), "run", "-A", "scripts/bench_memory.ts"];
}

async function said(program: string, args: readonly string[]): Promise<string> {
  const { code, stdout } = await new Deno.Command(program, { args: [...args], stderr: "inherit" }).output();
  if (code !== 0) throw new Error(`Cannot measure memory: ${program} ${args.join(" ")} ended with ${code}`);
  return new TextDecoder().decode(stdout).trimEnd();
}

async function peakOf(group: string, name: string): Promise<Peak> {
  const before = staying();
  const contender = groups[group]!.contenders[name]!;
  await contender.prepare?.();
  const found: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const box = new Deno.Command("unshare", { args: ["--net", "sleep", "infinity"], stdin: "null" }).spawn();
    await until(() =>
      Deno.readLinkSync(`/proc/${box.pid}/ns/net`) !== Deno.readLinkSync("/proc/self/ns/net")
    );
    await contender.up(`round${i}`, box.pid, 8080);
    await contender.down(`round${i}`, box.pid, 8080);
    box.kill("SIGKILL");
    await box.status;
    found.push(Math.max(...Deno.readTextFileSync(peaks).trim().split("\n").map(Number)) / 1024);
    Deno.removeSync(peaks);
  }
  return { peak: found.toSorted((a, b) => a - b)[rounds >> 1]!, stays: staying() - before };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Megabytes of all processes of this host but this one; what they share is divided among them. */
function staying(): number {
  let sum = 0;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^[0-9]+$/.test(name) || Number(name) === Deno.pid) continue;
    try {
      sum += Number(/^Pss: +([0-9]+)/m.exec(Deno.readTextFileSync(`/proc/${name}/smaps_rollup`))?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  }
  return sum / 1024;
}

/** Each way is left running, and the next one's is what is added. */
async function printWays(): Promise<void> {
  await startHelper();
  let port = 8000;
  for (const [name, way] of Object.entries(ways)) {
    if (!way.isInstalled()) continue;
    const before = staying();
    await way.start(`memory${port}`, [{ host: port++, container: 80 }]);
    console.log(`  ${name.padEnd(34)} ${(staying() - before).toFixed(1).padStart(6)}`);
  }
}
