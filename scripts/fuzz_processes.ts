/**
 * fuzz_processes.ts SEED DIRECTORY: gives changed input to dist/ocinet as whole processes, and prints TAP: how they end,
 * and what is on which stream. It is to be run where what is made does no harm; the directory is for what is in files.
 */
import { cniWords, configurations, containerWords, environment, network, state } from "./fuzz_inputs.ts";
import { mutatedJson, mutatedWords, pick, type Random, randomOf } from "./fuzz_mutate.ts";

const [seed, work] = [Number(Deno.args[0]), Deno.args[1]!];
const program = Deno.realPathSync("dist/ocinet");

/** A call of a program. */
interface Call {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
}

interface Ended {
  readonly code: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Who calls, and how often. */
const callers: Readonly<Record<string, readonly [count: number, call: (random: Random) => Call]>> = {
  plugin: [30, pluginCall],
  cni: [12, cniCall],
  hook: [16, hookCall],
};

function pluginCall(random: Random): Call {
  const type = pick(random, Object.keys(configurations));
  const path = `${work}/${type}`;
  if (!exists(path)) Deno.symlinkSync(program, path);
  const command = pick(random, ["ADD", "DEL", "CHECK", "GC", "STATUS"]);
  const request = { cniVersion: "1.1.0", name: "n1", type, ...pick(random, configurations[type]!) };
  const env = { ...environment, CNI_COMMAND: command };
  const name = pick(random, Object.keys(env));
  const changed = random() < 0.3
    ? { ...env, [name]: mutatedWords([env[name as keyof typeof env]], random).join("") }
    : env;
  return { path, args: [], env: changed, stdin: mutatedJson(request, random) };
}

function cniCall(random: Random): Call {
  Deno.writeTextFileSync(`${work}/shop.conflist`, mutatedJson(network, random));
  const args = random() < 0.3 ? mutatedWords(pick(random, cniWords), random) : pick(random, cniWords);
  return { path: program, args: ["cni", ...args], env: { ...environment, NETCONFPATH: work }, stdin: "" };
}

function hookCall(random: Random): Call {
  const words = pick(random, containerWords);
  const args = random() < 0.5 ? mutatedWords(words, random) : words;
  // No process has such a number.
  const stdin = mutatedJson({ ...state, pid: 4194305 }, random);
  return { path: program, args: ["hook", "createRuntime", ...args], env: {}, stdin };
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path) !== undefined;
  } catch {
    return false;
  }
}

async function run({ path, args, env, stdin }: Call, bytes: (text: string) => Uint8Array): Promise<Ended> {
  const child = new Deno.Command(path, {
    args: [...args],
    env: { ...env, PATH: Deno.env.get("PATH")!, OCINET_STATE_DIR: `${work}/state` },
    ...{ clearEnv: true, stdin: "piped", stdout: "piped", stderr: "piped" },
    // Who takes so long hangs.
    signal: AbortSignal.timeout(120_000),
  }).spawn();
  const [{ code, signal, ...said }] = await Promise.all([child.output(), feed(child.stdin, bytes(stdin))]);
  const [stdout, stderr] = [said.stdout, said.stderr].map((text) => new TextDecoder().decode(text));
  return { code, signal, stdout: stdout!, stderr: stderr! };
}

/** It may end without having read all of it. */
async function feed(stdin: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stdin.getWriter();
  await writer.write(bytes).catch(() => {});
  await writer.close().catch(() => {});
}

/** Of every fourth text one byte is no UTF-8. */
function bytesOf(random: Random): (text: string) => Uint8Array {
  return (text) => {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > 0 && random() < 0.25) bytes[Math.floor(random() * bytes.length)] = 0xff;
    return bytes;
  };
}

function problemIn(isPlugin: boolean, { code, signal, stdout, stderr }: Ended): string | undefined {
  const said = `it says ${JSON.stringify(stdout)} and ${JSON.stringify(stderr)}`;
  if (signal !== null) return `${signal} ended it; ${said}`;
  if (![0, 1, 2].includes(code)) return `its exit status is ${code}; ${said}`;
  if (/^\s+at /m.test(stdout + stderr)) return said;
  if (code === 0) return undefined;
  const isClear = isPlugin
    ? stderr === "" && isError(stdout)
    : stdout === "" && /^ocinet: .+\n$/.test(stderr);
  return isClear ? undefined : said;
}

/** Whether a text is an error as CNI has it. */
function isError(text: string): boolean {
  try {
    const { code, msg } = JSON.parse(text);
    return Number.isInteger(code) && typeof msg === "string" && msg !== "";
  } catch {
    return false;
  }
}

let all = true;
for (const [i, [name, [count, call]]] of Object.entries(callers).entries()) {
  const findings: string[] = [];
  for (let n = 0; n < count; n++) {
    const own = seed * 1009 + n;
    const random = randomOf(own);
    const problem = problemIn(name === "plugin", await run(call(random), bytesOf(random)));
    if (problem !== undefined) findings.push(`# ${name}: ${own}\n#   ${problem.slice(0, 600)}`);
  }
  all &&= findings.length === 0;
  console.log(`${findings.length === 0 ? "ok" : "not ok"} ${i + 1} fuzz ${name}: ${count} processes`);
  findings.slice(0, 10).forEach((finding) => console.log(finding));
}
Deno.exit(all ? 0 : 1);
