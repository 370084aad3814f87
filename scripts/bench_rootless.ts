/**
 * Measures what passes between a peer and an ordinary user's container by each way there is, in turns, and how long a
 * command takes that only gets one. A ratio is of one round; of the rounds' ratios the median is told.
 *
 * usage: bench_host deno run -A bench_rootless.ts [ROUNDS]
 */
import {
  aims,
  background,
  hostAddress,
  inPeer,
  output,
  peerAddress,
  type Port,
  setupBase,
  setups,
  startHelper,
  until,
  ways,
  yardstick,
} from "./bench_ways.ts";

const [rounds, setupRounds] = [Number(Deno.args[0] ?? 3), 15];
/** What a measurement of traffic takes. */
const seconds = 1;
/** Where the servers listen. */
const [web, iperf] = [80, 5201];
/** The same without a way between. */
const none = "no container";

/** A container whose servers run. */
interface Subject {
  /** Words before a command in its network. */
  readonly enter: readonly string[];
  readonly ports: readonly [Port, Port];
  readonly mtu: number;
}

/** What is measured, by its unit. */
const measurements: Readonly<Record<string, (subject: Subject) => Promise<number>>> = {
  "Gbit/s out": ({ enter, ports }) => stream(enter, peerAddress, ports[1].host),
  "Gbit/s in": ({ ports }) => stream(inPeer, hostAddress, ports[1].host),
  "connections/s": ({ ports }) => request(ports[0].host, "--header", "Connection: close"),
  "requests/s": ({ ports }) => request(ports[0].host),
};

/** What was measured of each, by the unit. */
type Figures = ReadonlyMap<string, Readonly<Record<string, number[]>>>;

/** Answers from memory: the network is to be what takes the time. */
const haproxyConfig = `defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 30s
frontend web
  bind :${web}
  http-request return status 200 content-type text/plain string hello
`;

void endWithInput();
await startHelper();
const times = await timeSetups();
const { subjects, missing } = await startWays();
const figures = await measure(subjects);
report(times, subjects, missing, figures);
Deno.exit(0);

/** No process waits for us any more. The host, which this is the first process of, ends too. */
async function endWithInput(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
  Deno.exit(1);
}

async function timeSetups(): Promise<ReadonlyMap<string, number[]>> {
  const times = new Map(Object.keys(setups).map((name) => [name, [] as number[]]));
  for (let i = -1; i < setupRounds; i++) {
    for (const [name, argv] of Object.entries(setups)) {
      const start = performance.now();
      await output(...argv);
      if (i >= 0) times.get(name)!.push(performance.now() - start);
    }
  }
  return times;
}

async function startWays(): Promise<{ subjects: ReadonlyMap<string, Subject>; missing: readonly string[] }> {
  Deno.writeTextFileSync("/run/haproxy.cfg", haproxyConfig);
  const names = Object.keys(ways).filter((name) => ways[name]!.isInstalled());
  const subjects = new Map<string, Subject>();
  subjects.set(none, await serve([], { host: web, container: web }, { host: iperf, container: iperf }));
  for (const [i, name] of names.entries()) {
    const [first, second] = [{ host: 8000 + i, container: web }, { host: 9000 + i, container: iperf }];
    const pid = await ways[name]!.start(`bench${i}`, [first, second]);
    const subject = await serve(["nsenter", `--net=/proc/${pid}/ns/net`, "--"], first, second);
    if (await answers(first.host)) subjects.set(name, subject);
  }
  return { subjects, missing: Object.keys(ways).filter((name) => !subjects.has(name)) };
}

/** Whether a port of the host's leads to a server, or soon does. */
async function answers(port: number): Promise<boolean> {
  const retries = ["--retry", "10", "--retry-connrefused", "--retry-delay", "1"];
  const url = `http://${hostAddress}:${port}/`;
  return await output(...inPeer, "curl", "--silent", "--fail", "--max-time", "20", ...retries, url)
    .then(() => true, () => false);
}

/** Starts the servers, and the one in the peer that is for this container alone. */
async function serve(enter: readonly string[], ...ports: readonly [Port, Port]): Promise<Subject> {
  background(...enter, "haproxy", "-db", "-q", "-f", "/run/haproxy.cfg");
  background(...enter, ...iperfServer(iperf));
  background(...inPeer, ...iperfServer(ports[1].host));
  for (const { container } of ports) await until(() => listens(enter, container));
  await until(() => listens(inPeer, ports[1].host));
  const [route] = JSON.parse(await output(...enter, "ip", "-j", "route", "get", peerAddress));
  const [link] = JSON.parse(await output(...enter, "ip", "-j", "link", "show", "dev", route.dev));
  return { enter, ports, mtu: link.mtu };
}

/** One that is stuck with a client who is gone lets go of it. */
function iperfServer(port: number): readonly string[] {
  return ["iperf3", "--server", "--port", `${port}`, "--idle-timeout", "1"];
}

async function listens(enter: readonly string[], port: number): Promise<boolean> {
  return await output(...enter, "ss", "-Hltn", `sport = :${port}`) !== "";
}

/** A stream to an iperf3. @returns what arrived, in Gbit/s: nothing, if it came to no end */
async function stream(enter: readonly string[], address: string, port: number): Promise<number> {
  const words = ["--client", address, "--port", `${port}`, "--time", `${seconds}`, "--json"];
  try {
    const { end } = JSON.parse(await output("timeout", `${seconds + 3}`, ...enter, "iperf3", ...words));
    return end.sum_received.bits_per_second / 1e9;
  } catch {
    return 0;
  }
}

/** Asks a port of the host's from the peer. @returns answers a second */
async function request(port: number, ...options: readonly string[]): Promise<number> {
  const words = ["--threads", "1", "--connections", "16", "--duration", `${seconds}s`, ...options];
  const said = await output(...inPeer, "wrk", ...words, `http://${hostAddress}:${port}/`);
  return Number(/Requests\/sec: *([0-9.]+)/.exec(said)![1]);
}

async function measure(subjects: ReadonlyMap<string, Subject>): Promise<Figures> {
  const units = Object.keys(measurements);
  const figures = new Map(
    [...subjects.keys()].map((
      name,
    ) => [name, Object.fromEntries(units.map((unit) => [unit, [] as number[]]))]),
  );
  for (let i = 0; i < rounds; i++) {
    for (const [unit, take] of Object.entries(measurements)) {
      for (const [name, subject] of subjects) figures.get(name)![unit]!.push(await take(subject));
    }
  }
  return figures;
}

function report(
  times: ReadonlyMap<string, readonly number[]>,
  subjects: ReadonlyMap<string, Subject>,
  missing: readonly string[],
  figures: Figures,
): void {
  const units = Object.keys(measurements);
  const figure = (name: string, unit: string) => median(figures.get(name)![unit]!);
  const compared = (name: string, other: string) =>
    units.map((unit) => {
      const others = figures.get(other)![unit]!;
      return median(figures.get(name)![unit]!.map((value, round) => value / others[round]!));
    });
  console.log("\n# traffic between a peer and an ordinary user's container");
  console.log(
    `both are on this machine, and their programs share its ${navigator.hardwareConcurrency} processors`,
  );
  if (missing.length > 0) {
    console.log(`not installed, or its ports do not answer, so not compared: ${missing.join(", ")}`);
  }
  console.log(`\nmedian of ${rounds} rounds, each of ${seconds} s, and ratio to ${yardstick}`);
  console.log(`  ${"".padEnd(34)}   MTU${units.map((unit) => unit.padStart(18)).join("")}`);
  for (const [name, { mtu }] of subjects) {
    const cells = compared(name, yardstick).map((value, i) => {
      const own = figure(name, units[i]!);
      return `${own.toFixed(own < 100 ? 2 : 0).padStart(11)}${ratio(value).padStart(7)}`;
    });
    console.log(`  ${name.padEnd(34)}${String(mtu).padStart(6)}${cells.join("")}`);
  }
  console.log("\naims: the same program, started by us and by another");
  for (const { way, other, least } of aims.filter(({ other }) => subjects.has(other))) {
    const values = compared(way, other);
    const missed = units.filter((_, i) => values[i]! < least);
    const verdict = missed.length === 0 ? "reached" : `MISSED: ${missed.join(", ")}`;
    const all = values.map(ratio).join(" ");
    console.log(`  ${way.padEnd(12)} to ${other.padEnd(28)}${all}, at least ${ratio(least)}: ${verdict}`);
  }
  console.log(`\n# a command that only gets a network (median of ${setupRounds}; ratio to ${setupBase})`);
  for (const [name, own] of times) {
    const [value, base] = [median(own), median(times.get(setupBase)!)];
    console.log(`  ${name.padEnd(28)} ${value.toFixed(0).padStart(4)} ms ${ratio(value / base)}`);
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function ratio(value: number): string {
  return `${value.toFixed(2)}x`;
}
