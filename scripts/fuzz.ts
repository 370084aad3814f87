/**
 * fuzz.ts SEED COUNT: gives COUNT changed configurations, environments, states, words and files to the doors of the
 * program, in a machine in memory, and prints TAP: a test for each door. A finding is named by its door and seed, which
 * belongs into fuzz_seeds.txt once it is mended: what is there is tried again each time.
 */
import { errorJson } from "../src/wire/cni/error.ts";
import { cniByWords } from "../src/commands/cni.ts";
import { down } from "../src/commands/down.ts";
import { failure } from "../src/commands/failure.ts";
import { gc } from "../src/commands/gc.ts";
import { hook } from "../src/commands/hook.ts";
import { inject } from "../src/commands/inject.ts";
import { inspect } from "../src/commands/inspect.ts";
import { list } from "../src/commands/list.ts";
import { plugin } from "../src/commands/plugin.ts";
import { up } from "../src/commands/up.ts";
import { grantsOf, parsePolicy } from "../src/wire/helper/policy.ts";
import { helperPolicy, parseRequest, writeAnswer } from "../src/wire/helper/wire.ts";
import { containerOptions, parseWords } from "../src/wire/oci/options.ts";
import type { World } from "../src/plan/world.ts";
import { serveRequest } from "../src/features/helper/attach.ts";
import {
  bundle,
  cniWords,
  configurations,
  containerWords,
  environment,
  helperRequests,
  helperRules,
  network,
  others,
  prevResult,
  state,
  valid,
} from "./fuzz_inputs.ts";
import {
  mutated,
  mutatedJson,
  mutatedText,
  mutatedWords,
  pick,
  type Random,
  randomOf,
} from "./fuzz_mutate.ts";
import { Hanging, type Machine, machine } from "./fuzz_world.ts";

/** Where input comes in: gives some to it. What the program says is what a person or a client reads. */
type Door = (random: Random) => Promise<readonly Said[]>;

interface Said {
  readonly machine: Machine;
  readonly text: string;
  /** What a person or a client is told of an error. */
  readonly error?: string;
}

const commands = ["ADD", "ADD", "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "BOGUS"];

const doors: Readonly<Record<string, Door>> = {
  ...Object.fromEntries(Object.keys(configurations).map((type) => [`plugin ${type}`, pluginDoor(type)])),
  "hook": hookDoor,
  "cni": cniDoor,
  "inject": injectDoor,
  "up": upDoor,
  "damaged files": damageDoor,
  "helper": helperDoor,
};

function maybe<T>(random: Random, likely: number, changed: () => T, plain: T): T {
  return random() < likely ? changed() : plain;
}

function changedEnvironment(random: Random, plain: Readonly<Record<string, string>>): Record<string, string> {
  const env = { ...plain };
  for (let i = 1 + Math.floor(random() * 2); i > 0; i--) {
    const name = pick(random, Object.keys(env));
    env[name] = mutatedWords([env[name]!], random).join("");
  }
  return env;
}

function newMachine(random: Random, env: Readonly<Record<string, string>>, uid = 0): Machine {
  const made = machine(random, env, random() < 0.1 ? 0.3 : 0, uid);
  for (const [path, text] of Object.entries(others)) {
    made.place(path, maybe(random, 0.05, () => mutatedText(text, random), text));
  }
  return made;
}

function pluginDoor(type: string): Door {
  return async (random) => {
    const command = pick(random, commands);
    const env = { ...environment, CNI_COMMAND: command };
    const made = newMachine(random, maybe(random, 0.3, () => changedEnvironment(random, env), env));
    const chained = random() < 0.9 ? { prevResult } : {};
    const request = {
      ...{ cniVersion: pick(random, ["0.4.0", "1.0.0", "1.1.0"]), name: "n1", type },
      ...{ ...pick(random, configurations[type]!), ...chained, ...(command === "GC" ? valid : {}) },
    };
    const text = maybe(random, 0.8, () => mutatedJson(request, random), JSON.stringify(request));
    const { stdout, stderr } = await plugin(made.world, type, () => Promise.resolve(text));
    return [{ machine: made, text: stdout + stderr, ...errorIn(stdout) }];
  };
}

/** What a plugin's JSON says once it is read, if it tells of an error. */
function errorIn(stdout: string): Pick<Said, "error"> {
  const { msg, details = "" } = stdout === "" ? {} : JSON.parse(stdout);
  return msg === undefined ? {} : { error: `${msg} ${details}` };
}

/** What a command says when it succeeds or fails. */
async function say(machine: Machine, act: (world: World) => Promise<unknown>): Promise<Said> {
  try {
    const said = await act(machine.world);
    return {
      machine,
      text: typeof said === "string" ? said : (said as { text?: string } | undefined)?.text ?? "",
    };
  } catch (error) {
    if (error instanceof Hanging) throw error;
    const { text } = failure(error);
    return { machine, text: `${(error as Error).name} ${text}${errorJson(error)}`, error: text.trimEnd() };
  }
}

/** A machine with a bundle, and networks of root's own. */
function withBundle(random: Random): Machine {
  const made = newMachine(
    random,
    { PATH: "/usr/bin", XDG_RUNTIME_DIR: "/run/user/1000" },
    random() < 0.2 ? 1000 : 0,
  );
  const file = (value: unknown) =>
    maybe(random, 0.2, () => mutatedJson(value, random), JSON.stringify(value));
  made.place("/own/bundle/config.json", file(bundle));
  ["etc/resolv.conf", "etc/hosts"].forEach((name) => made.place(`/own/bundle/rootfs/${name}`, ""));
  made.place("/etc/ocinet/net.d/10-shop.conflist", file(network));
  made.place("/own/net.d/shop.conflist", file(network));
  return made;
}

async function hookDoor(random: Random): Promise<readonly Said[]> {
  const made = withBundle(random);
  const words = maybe(
    random,
    0.5,
    () => mutatedWords(pick(random, containerWords), random),
    pick(random, containerWords),
  );
  const stage = pick(random, [
    "createRuntime",
    "createRuntime",
    "prestart",
    "createContainer",
    "poststop",
    "auto",
    "x",
  ]);
  const text = maybe(random, 0.6, () => mutatedJson(state, random), JSON.stringify(state));
  const said = await say(made, (world) => hook(world, [stage, ...words], text));
  return [said, await say(made, (world) => hook(world, ["poststop"], text))];
}

async function cniDoor(random: Random): Promise<readonly Said[]> {
  const made = withBundle(random);
  const env = { ...environment, NETCONFPATH: "/own/net.d" };
  const changed = maybe(random, 0.4, () => changedEnvironment(random, env), env);
  const world: World = {
    ...made.world,
    uid: 0,
    env: (name) => Object.hasOwn(changed, name) ? changed[name] : undefined,
  };
  const words = pick(random, cniWords);
  return [
    await say(made, () => cniByWords(world, maybe(random, 0.5, () => mutatedWords(words, random), words))),
    await say(made, () => cniByWords(world, ["del", "shop", "/run/netns/box"])),
  ];
}

async function injectDoor(random: Random): Promise<readonly Said[]> {
  const made = withBundle(random);
  const words = maybe(
    random,
    0.6,
    () => mutatedWords(pick(random, containerWords), random),
    pick(random, containerWords),
  );
  return [
    await say(
      made,
      (world) =>
        inject(world, "/own/bundle", {
          given: parseWords(words),
          remove: random() < 0.2,
        }),
    ),
  ];
}

async function upDoor(random: Random): Promise<readonly Said[]> {
  const made = withBundle(random);
  const options = containerOptions.concat({
    name: "id",
    value: "ID",
    text: "",
    many: false,
    annotation: false,
  });
  const words = mutatedWords([...pick(random, containerWords), "--id", "c1"], random);
  const target = maybe(
    random,
    0.3,
    () => mutatedWords(["/run/netns/box"], random).join(""),
    pick(random, ["/run/netns/box", "4242"]),
  );
  return [
    await say(made, (world) => up(world, target, parseWords(words, options))),
    await say(made, (world) => down(world, ["c1"])),
  ];
}

/**
 * Attached as it should be; then some of what was written down is damaged, and the container is taken down. Who can
 * write there may do anything anyway, so only what is said counts.
 */
async function damageDoor(random: Random): Promise<readonly Said[]> {
  const made = withBundle(random);
  const before = new Set(made.files.keys());
  const said = [
    await say(made, (world) => hook(world, ["createRuntime", ...containerWords[0]!], JSON.stringify(state))),
    await say(
      made,
      (world) =>
        cniByWords({ ...world, env: (name) => environment[name] }, ["add", "shop", "/run/netns/box"]),
    ),
  ];
  const written = [...made.files].filter(([path]) => !before.has(path));
  for (let i = 1 + Math.floor(random() * 2); i > 0 && written.length > 0; i--) {
    const [path, text] = pick(random, written);
    made.place(path, damaged(text, random));
  }
  const later = [
    (world: World) => list(world),
    (world: World) => inspect(world, ["c1"]),
    (world: World) => gc(world, random() < 0.5),
    (world: World) => down(world, ["c1"]),
    (world: World) => cniByWords(world, ["del", "shop", "/run/netns/box"]),
    (world: World) => hook(world, ["poststop"], JSON.stringify(state)),
  ];
  for (const act of later) said.push(await say(made, act));
  return said.map(({ text }) => ({ machine: { ...made, wrong: [] }, text }));
}

/** Root's service, when it has been told who asks. */
async function helperDoor(random: Random): Promise<readonly Said[]> {
  const made = newMachine(random, { PATH: "/usr/bin" });
  made.place("/proc/sys/net/ipv4/ip_forward", "1\n");
  made.place("/etc/ocinet/net.d/10-shop.conflist", JSON.stringify(network));
  const user = { uid: 1000, gid: 1000, names: new Set(["alice", "1000", "@web"]) };
  const rules = maybe(random, 0.2, () => mutatedText(helperRules, random), helperRules);
  const request = pick(random, helperRequests);
  const line = maybe(random, 0.9, () => mutatedJson(request, random), JSON.stringify(request));
  return [
    await say(made, async (world) => {
      const grants = grantsOf(parsePolicy(rules, helperPolicy), user.names);
      const asking = { world, state: "/run/ocinet", user, grants };
      return writeAnswer(await serveRequest(asking, parseRequest(line))).trimEnd();
    }),
  ];
}

function damaged(text: string, random: Random): string {
  if (random() < 0.5) return mutatedText(text, random);
  try {
    return JSON.stringify(mutated(JSON.parse(text), random)) ?? "";
  } catch {
    return mutatedText(text, random);
  }
}

/** What a bug in the program says, not the program. */
const accidents =
  /TypeError|RangeError|ReferenceError|^SyntaxError|InternalError|Cannot read propert|is not a function|is not iterable|\[object |Maximum call|must be of type|Invalid array length|Invalid string length| {4}at |\bundefined\b|\bNaN\b/;

/** Letters that would act on a terminal, or make one line two. */
// deno-lint-ignore no-control-regex
const unprintable = /[\0-\x08\x0b-\x1f\x7f-\x9f]/;

/** A message is one line, of a length that a person reads. */
// deno-lint-ignore no-control-regex
const confusing = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|^.{4000}/;

function problemIn({ machine, text, error }: Said): string | undefined {
  if (machine.wrong.length > 0) return machine.wrong[0];
  if (error === "" || confusing.test(error ?? "")) return `confusing: ${JSON.stringify(error)}`;
  if (unprintable.test(text)) return `unprintable: ${JSON.stringify(text)}`;
  const accident = accidents.exec(text.replaceAll(/"(undefined|NaN)"/g, ""));
  return accident ? `says: ${text}` : undefined;
}

/** How long one input may take, in milliseconds, on a machine that does much else. */
const longest = 20_000;

/** The first thing wrong with what a door does with the input of a seed. */
async function tryDoor(door: Door, seed: number): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string>((tell) => {
    timer = setTimeout(() => tell(`no end after ${longest} ms`), longest);
  });
  try {
    const said = door(randomOf(seed)).then((all) =>
      all.map(problemIn).find((problem) => problem !== undefined)
    );
    return await Promise.race([said, late]);
  } catch (error) {
    return (error as Error).stack;
  } finally {
    clearTimeout(timer);
  }
}

/** Seeds to try again: `DOOR: SEED`, a line each; `#` begins a remark. */
function kept(name: string): readonly number[] {
  const text = Deno.readTextFileSync(new URL("fuzz_seeds.txt", import.meta.url));
  return text.split("\n").filter((line) => line.startsWith(`${name}: `)).map((line) =>
    Number.parseInt(line.slice(name.length + 2))
  );
}

async function fuzz(seed: number, count: number): Promise<boolean> {
  const names = Object.keys(doors);
  const each = Math.ceil(count / names.length);
  console.log(`# seed ${seed}\n1..${names.length}`);
  let all = true;
  for (const [i, name] of names.entries()) {
    const began = Date.now();
    const seeds = kept(name).concat(
      Array.from({ length: each }, (_, n) => seed * 1_000_003 + i * 10_007 + n),
    );
    const findings: string[] = [];
    for (const one of seeds) {
      const problem = await tryDoor(doors[name]!, one);
      if (problem !== undefined) {
        findings.push(`# ${name}: ${one}\n#   ${problem.slice(0, 600).replaceAll("\n", "\n#   ")}`);
      }
      if (findings.length === 10) break;
    }
    all &&= findings.length === 0;
    console.log(
      `${findings.length === 0 ? "ok" : "not ok"} ${i + 1} fuzz ${name}: ${seeds.length} inputs in ${
        Date.now() - began
      }ms`,
    );
    findings.forEach((finding) => console.log(finding));
  }
  return all;
}

if (import.meta.main) {
  const [seed = Math.floor(Math.random() * 1e6), count = 23000] = Deno.args.map(Number);
  const only = Deno.args[2];
  if (only !== undefined) console.log(await tryDoor(doors[only]!, seed));
  else if (!await fuzz(seed, count)) Deno.exit(1);
}
