/**
 * Measures what stays of containers that have gone: descriptors and memory of each process that serves them all (root's
 * helper, a session and its relay), other processes, and files in the directories of state, before and after.
 *
 * usage: bench_lasting.ts on RUNTIME CONTAINERS  on the host of scripts/bench_host; scripts/bench.ts does both runtimes
 */
import { asUser, hostAddress, output, startHelper, until } from "./bench_ways.ts";

/** Containers before the first look: what is loaded once is loaded then. */
const first = 20;

/** Where what lasts is noted, root's and the user's. */
const directories = ["/run", "/var/lib", "/tmp", "/etc/ocinet"];

/** A process's open descriptors, and its own part of memory (PSS) in MB. */
interface Process {
  readonly name: string;
  readonly descriptors: number;
  readonly memory: number;
}

if (import.meta.main && Deno.args[0] === "on") {
  await measure(Deno.args[1]!, Number(Deno.args[2]));
  Deno.exit(0);
}

/** Prints what stays, for both runtimes. */
export async function printLasting(containers: number): Promise<void> {
  for (const runtime of ["deno", "node"]) {
    console.log(`\n# What stays of containers that have gone, on ${runtime}\n`);
    const args = ["run", "-A", "scripts/bench_lasting.ts", "on", runtime, String(containers)];
    const bench = new Deno.Command("scripts/bench_host", { args: [Deno.execPath(), ...args] });
    const { code } = await bench.spawn().status;
    if (code !== 0) throw new Error(`Cannot measure what stays: it ended with ${code}`);
  }
}

/** What is there after so many containers. */
interface Look {
  readonly after: number;
  readonly processes: ReadonlyMap<string, Process>;
  readonly files: ReadonlySet<string>;
}

async function measure(runtime: string, containers: number): Promise<void> {
  Deno.env.set("OCINET_RUNTIME", runtime);
  await startHelper();
  const user = (...argv: string[]) => output(...asUser(`OCINET_RUNTIME=${runtime}`, ...argv));
  await user("dist/ocinet", "session", "start", "--uplink=pasta");
  const looks: Look[] = [];
  let made = 0;
  for (const after of [first, first + (containers >> 1), first + containers]) {
    while (made < after) await comeAndGo(user, made++);
    looks.push({ after, processes: await settled(), files: files() });
  }
  print(looks);
}

function print(looks: readonly Look[]): void {
  const row = (name: string, of: (look: Look) => unknown) =>
    console.log(`  ${name.padEnd(44)} ${looks.map((look) => String(of(look)).padStart(16)).join("")}`);
  row("after so many containers", ({ after }) => after);
  const pids = new Set(looks.flatMap(({ processes }) => [...processes.keys()]));
  for (const pid of pids) {
    const { name } = looks.find(({ processes }) => processes.has(pid))!.processes.get(pid)!;
    row(name, ({ processes }) => {
      const found = processes.get(pid);
      return found === undefined ? "-" : `${found.descriptors} fd ${found.memory.toFixed(1)} MB`;
    });
  }
  row("files and directories of state", ({ files }) => files.size);
  const [{ files: before }, { files: now }] = [looks[0]!, looks.at(-1)!];
  [...now].filter((path) => !before.has(path)).forEach((path) => console.log(`    new: ${path}`));
}

/** A container by the helper, and one in the session with a port by its relay, which answers a client. */
async function comeAndGo(user: (...argv: string[]) => Promise<string>, n: number): Promise<void> {
  await user("dist/ocinet", "run", "--uplink=helper", `--publish=${8000 + n % 1000}:80`, "--", "true");
  const port = 9000 + n % 1000;
  const inside = `set -e; unshare --net socat TCP-LISTEN:80,fork,reuseaddr EXEC:"echo $0" & pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
    dist/ocinet up --net=default --publish=$1:80 $pid; until [ -e "$2" ]; do sleep 0.01; done
    dist/ocinet down $pid; kill $pid`;
  const answered = `/mnt/host/user/home/answered${n}`;
  const exec = ["dist/ocinet", "session", "exec", "--", "sh", "-c", inside];
  const container = user(...exec, `hello${n}`, String(port), answered);
  await Promise.race([container, until(() => answers(port, `hello${n}`))]);
  Deno.writeTextFileSync(answered, "");
  await container;
  Deno.removeSync(answered);
}

async function answers(port: number, expected: string): Promise<boolean> {
  try {
    using client = await Deno.connect({ hostname: hostAddress, port });
    return (await new Response(client.readable).text()).trim() === expected;
  } catch {
    return false;
  }
}

/** All processes of the host by pid, but this one, once none comes or goes any more. */
async function settled(): Promise<Map<string, Process>> {
  let [last, now] = [new Map<string, Process>(), processes()];
  while ([...now.keys()].join() !== [...last.keys()].join()) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    [last, now] = [now, processes()];
  }
  return now;
}

function processes(): Map<string, Process> {
  const found = new Map<string, Process>();
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^[0-9]+$/.test(pid) || Number(pid) === Deno.pid) continue;
    try {
      const name = Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll(/[\0\s]+/g, " ").replace(
        /^.*?ocinet (?=\w)/,
        "ocinet ",
      );
      const pss = /^Pss: +([0-9]+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`))?.[1];
      const descriptors = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
      found.set(pid, { name: name.slice(0, 44), descriptors, memory: Number(pss ?? 0) / 1024 });
    } catch {
      // It has ended.
    }
  }
  return found;
}

function files(): Set<string> {
  const found = new Set<string>();
  const walk = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      found.add(`${path}/${name}`);
      if (isDirectory) walk(`${path}/${name}`);
    }
  };
  directories.forEach(walk);
  return found;
}
