/**
 * Measures our resolver: 200 networks with five names each, 100,000 questions one after the other, and among them 3,000
 * malformed packets. Prints how long an answer takes at the client, and the resolver's memory (PSS) after them.
 *
 * usage: bench_resolver.ts        both runtimes, from scripts/bench.ts
 *        bench_resolver.ts RUNTIME   on a host of its own
 */
import { createSocket, type Socket } from "node:dgram";
import { encode } from "dns-packet";
import { onHost } from "./bench_namespaces.ts";

const [networks, members, questions, malformed] = [200, 5, 100_000, 3_000];
const [names, socket] = ["/run/names", "/run/resolver.sock"];

/** As resolver_program.ts has it, but for the permissions. */
const denoFlags = [
  "run",
  "--v8-flags=--max-semi-space-size=1",
  "-A",
  "--unstable-net",
  "--no-config",
  "--no-lock",
  "--ext=js",
];

if (import.meta.main) {
  await measure(Deno.args[0]!);
  Deno.exit(0);
}

/** Prints the figures of both runtimes. */
export async function printResolver(): Promise<void> {
  console.log(`\n# Resolver: ${questions} questions, ${networks} networks with ${members} names each\n`);
  for (const runtime of ["deno", "node"]) {
    const args = onHost([Deno.execPath(), "run", "-A", "scripts/bench_resolver.ts", runtime]);
    const { code } = await new Deno.Command("unshare", { args }).spawn().status;
    if (code !== 0) throw new Error(`Cannot measure the resolver: it ended with ${code}`);
  }
}

async function measure(runtime: string): Promise<void> {
  for (let n = 0; n < networks; n++) placeNetwork(n);
  const [program, ...flags] = runtime === "node"
    ? ["node", "--max-semi-space-size=1", "--single-threaded"]
    : [Deno.execPath(), ...denoFlags];
  const args = [...flags, "dist/ocinet", "resolver", names, socket, "20000"];
  const resolver = new Deno.Command(program!, { args, stdout: "piped" }).spawn();
  await resolver.stdout.getReader().read();
  const took: number[] = [];
  let lost = 0;
  const clients = await Promise.all(Array.from({ length: networks }, (_, n) => clientOf(n)));
  for (let i = 0; i < questions; i++) {
    const n = i % networks;
    if (i % Math.floor(questions / malformed) === 0) {
      clients[n]!.send(crypto.getRandomValues(new Uint8Array(1 + i % 60)), 53, `10.${n}.0.1`);
    }
    const began = performance.now();
    if (await isAnswered(clients[n]!, i & 0xffff, `10.${n}.0.1`)) took.push(performance.now() - began);
    else lost++;
  }
  took.sort((a, b) => a - b);
  const at = (part: number) => took[Math.floor(took.length * part)]!.toFixed(2);
  const memory = /^Pss:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${resolver.pid}/smaps_rollup`))![1];
  console.log(
    `  ${runtime}: median ${at(0.5)} ms, p99 ${at(0.99)} ms, ${lost} lost; ${
      (Number(memory) / 1024).toFixed(0)
    } MB`,
  );
  resolver.kill("SIGKILL");
}

/** Its gateway, and members that are all on this host itself, so that they can ask from it. */
function placeNetwork(n: number): void {
  Deno.mkdirSync(`${names}/net${n}`, { recursive: true });
  const add = (address: string) =>
    new Deno.Command("ip", { args: ["address", "add", address, "dev", "lo"] }).outputSync();
  add(`10.${n}.0.1/32`);
  add(`10.${n}.0.2/32`);
  const head = JSON.stringify({ listen: [`10.${n}.0.1/24`], internal: true, servers: [] });
  for (let m = 0; m < members; m++) {
    Deno.writeTextFileSync(
      `${names}/net${n}/c${n}x${m} eth0`,
      `# ${head}\n10.${n}.0.${2 + m} c${n}x${m} name${m}`,
    );
  }
}

function clientOf(n: number): Promise<Socket> {
  const client = createSocket("udp4");
  return new Promise((resolve) => client.bind(0, `10.${n}.0.2`, () => resolve(client)));
}

/** Asks for the last member's name. @returns false when no right answer comes within 2 s */
function isAnswered(client: Socket, id: number, server: string): Promise<boolean> {
  const question = encode({
    ...{ type: "query", id, flags: 1 << 8 },
    questions: [{ type: "A", name: `name${members - 1}` }],
  });
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(false), 2000);
    const listen = (answer: Uint8Array) => {
      if ((answer[0]! << 8 | answer[1]!) === id && answer[7] === 1) end(true);
    };
    const end = (right: boolean) => {
      clearTimeout(timer);
      client.off("message", listen);
      resolve(right);
    };
    client.on("message", listen);
    client.send(question, 53, server);
  });
}
