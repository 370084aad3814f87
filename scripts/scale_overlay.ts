/** What an agent of an overlay's hosts takes in a large cluster (scripts/scale_overlay). */
import { addressOf, fromNumber, toNumber } from "../src/net/address.ts";
import { claimValue } from "../src/features/overlay/claims.ts";
import { encode, requestOf, type Write } from "../src/features/overlay/etcd_wire.ts";
import { keysBelow, writeRecord } from "../src/features/overlay/keys.ts";
import { macOfAddress } from "../src/net/names.ts";

const [hosts, endpoints, seconds, rate] = [500, 25_000, 20, 100].map((usual, i) =>
  Number(Deno.args[i] ?? usual)
) as [
  number,
  number,
  number,
  number,
];
const [url, network, subnet] = ["http://127.0.0.1:2379", "scale", "10.64.0.0/10"];
const keys = keysBelow("/ocinet/");
const directory = Deno.makeTempDirSync();
const running: Deno.ChildProcess[] = [];

function run(...argv: readonly string[]): string {
  const { code, stdout, stderr } = new Deno.Command(argv[0]!, { args: argv.slice(1) }).outputSync();
  if (code !== 0) throw new Error(`${argv.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function start(log: string, ...argv: readonly string[]): Deno.ChildProcess {
  // The shell becomes the program.
  const line = 'log=$1; shift; exec "$@" >"$log" 2>&1 </dev/null';
  const child = new Deno.Command("sh", { args: ["-c", line, "sh", `${directory}/${log}`, ...argv] }).spawn();
  running.push(child);
  return child;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const began = performance.now();
  while (!await condition()) {
    if (performance.now() - began > 120_000) throw new Error(`${what}: not within two minutes`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function ask(path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return await answer.json();
}

/** As many changes as a transaction may have, at once. */
async function write(writes: readonly Write[]): Promise<void> {
  for (let i = 0; i < writes.length; i += 120) {
    await ask("/v3/kv/txn", { success: writes.slice(i, i + 120).map(requestOf) });
  }
}

/** An endpoint by number: its keys, and its MAC address. Each is on one of the hosts, and has names. */
function endpoint(i: number, lease: string) {
  const address = fromNumber(toNumber(addressOf(subnet)) + BigInt(1000 + i), 4);
  const [host, id] = [`n${i % hosts}`, `c${i}`];
  const [claim, names] = [keys.address(network, address), `${keys.names(network)}${host}/${id}/eth0`];
  return {
    mac: macOfAddress(address),
    comes: [
      { put: claim, value: claimValue({ host, id, ifname: "eth0" }, [address]) },
      { put: names, value: writeRecord({ addresses: [address], names: [id, `app${i}`] }), lease },
    ] as readonly Write[],
    goes: [{ delete: claim }, { delete: names }] as readonly Write[],
  };
}

/** Those of the hosts' own records and addresses. */
function hostWrites(lease: string): readonly Write[] {
  return Array.from({ length: hosts }, (_, i) => {
    const record = { underlay: `10.0.${i >> 8}.${i & 255}`, mtu: 1500, port: 4789, instance: "i" };
    return { put: keys.host(`n${i}`), value: writeRecord(record), lease };
  });
}

function entries(): number {
  const link = run("ip", "-br", "link", "show", "type", "vxlan").split(/\s/)[0];
  return link
    ? run("bridge", "fdb", "show", "dev", link).split("\n").filter((line) => line.includes(" dst ")).length
    : 0;
}

interface Usage {
  readonly cpu: number;
  readonly rss: number;
  readonly peak: number;
}

/** Processor seconds of a process and of what it has started, and its memory in MB. */
function usage(pid: number): Usage {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ").map(Number);
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const memory = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)![1]) / 1024;
  const cpu = fields.slice(11, 15).reduce((a, b) => a + b) / 100;
  return { cpu, rss: memory("VmRSS"), peak: memory("VmHWM") };
}

/** When which MAC address got its entry, by the kernel's own notice. */
function watchEntries(seen: Map<string, number>): void {
  const child = new Deno.Command("bridge", { args: ["monitor", "fdb"], stdout: "piped" }).spawn();
  running.push(child);
  void (async () => {
    let rest = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.includes(" dst ") && !line.startsWith("Deleted")) {
          seen.set(line.split(" ")[0]!, performance.now());
        }
      }
    }
  })();
}

function agentLog(): string {
  try {
    return Deno.readTextFileSync(`${directory}/agent.log`);
  } catch {
    return "";
  }
}

async function startAgent(): Promise<Deno.ChildProcess> {
  const child = start("agent.log", `${Deno.cwd()}/dist/ocinet`, "agent");
  await until("the agent", () => agentLog().includes("listening"));
  return child;
}

async function main(): Promise<void> {
  for (const path of ["/etc/ocinet", "/run/ocinet", "/run/netns"]) {
    Deno.mkdirSync(path, { recursive: true });
    run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", path);
  }
  run("mount", "-t", "sysfs", "sysfs", "/sys");
  for (
    const line of [
      "link set lo up",
      "link add eth0 type veth peer name far",
      "link set far up",
      "link set eth0 up",
      "address add 10.1.0.1/8 dev eth0",
    ]
  ) {
    run("ip", ...line.split(" "));
  }
  Deno.writeTextFileSync(
    "/etc/ocinet/cluster.json",
    JSON.stringify({ endpoints: [url], underlay: "eth0", name: "here" }),
  );
  start("etcd.log", "etcd", "--data-dir", `${directory}/etcd`, "--unsafe-no-fsync");
  await until("etcd", () => ask("/v3/kv/range", { key: encode("a") }).then(() => true, () => false));
  run("dist/ocinet", "cluster", "create", "--subnet", subnet, network);
  const lease = String((await ask("/v3/lease/grant", { TTL: "3600" }))["ID"]);
  await write(hostWrites(lease));
  await write(Array.from({ length: endpoints }, (_, i) => endpoint(i, lease).comes).flat());
  console.log(`${hosts} hosts, ${endpoints} endpoints, in etcd`);

  let agent = await startAgent();
  run("ip", "netns", "add", "first");
  await until("the network's file", () => {
    return [...Deno.readDirSync("/etc/ocinet")].some(({ name }) => name === "net.d");
  });
  let began = performance.now();
  run("dist/ocinet", "up", "--net", network, "/run/netns/first");
  await until("entries", () => entries() === endpoints);
  console.log(
    `first container, until all entries are there: ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );

  agent.kill("SIGKILL");
  await agent.status;
  // While it is away a hundredth goes, and as many come.
  const away = Math.ceil(endpoints / 100);
  await write(
    Array.from(
      { length: away },
      (_, i) => [...endpoint(i, lease).goes, ...endpoint(endpoints + i, lease).comes],
    ).flat(),
  );
  const seen = new Map<string, number>();
  watchEntries(seen);
  began = performance.now();
  agent = await startAgent();
  const last = endpoint(endpoints + away - 1, lease).mac;
  await until("the last entry", () => seen.has(last) && entries() === endpoints);
  console.log(`agent started anew, until all is right: ${((seen.get(last)! - began) / 1000).toFixed(1)} s`);

  await new Promise((resolve) => setTimeout(resolve, 5000));
  const idle = usage(agent.pid);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const before = usage(agent.pid);
  console.log(
    `idle: ${((before.cpu - idle.cpu) * 10).toFixed(1)} % of a processor, ${
      before.rss.toFixed(0)
    } MB (at most ${before.peak.toFixed(0)})`,
  );

  const sent = new Map<string, number>();
  began = performance.now();
  for (let i = 0; i < seconds * rate; i++) {
    const due = began + i * 1000 / rate;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const [comes, goes] = [endpoint(endpoints + away + i, lease), endpoint(away + i, lease)];
    sent.set(comes.mac, performance.now());
    await write([...comes.comes, ...goes.goes]);
  }
  const took = (performance.now() - began) / 1000;
  const after = usage(agent.pid);
  await until("the last entry", () => [...sent.keys()].every((mac) => seen.has(mac)));
  const late = [...sent].map(([mac, at]) => seen.get(mac)! - at).toSorted((a, b) => a - b);
  const part = (share: number) => late[Math.floor(late.length * share)]!.toFixed(0);
  console.log(
    `${(seconds * rate / took).toFixed(0)} endpoints a second come, and as many go, for ${
      took.toFixed(0)
    } s:`,
  );
  console.log(
    `  ${((after.cpu - before.cpu) / took * 100).toFixed(0)} % of a processor, ${
      after.rss.toFixed(0)
    } MB (at most ${after.peak.toFixed(0)})`,
  );
  console.log(
    `  from a change to its entry: p50 ${part(0.5)} ms, p99 ${part(0.99)} ms, at most ${
      late.at(-1)!.toFixed(0)
    } ms`,
  );
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  console.error(agentLog().split("\n").slice(-6).join("\n"));
  Deno.exitCode = 1;
} finally {
  Deno.removeSync(directory, { recursive: true });
  Deno.exit();
}
