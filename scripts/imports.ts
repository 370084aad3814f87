/**
 * Checks that imports in src/ point one way, that only src/host/ knows which runtime it is on, and that a long file says why
 * it is one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import { type Token, tokens } from "./tokens.ts";

/**
 * The rooms of src/, from the lowest to the highest: each may import itself and those before it. Rooms of one line are
 * neighbours, which do not know each other. A folder with rooms in it is itself the files that lie beside these.
 */
const order: readonly (readonly string[])[] = [
  ["net"],
  ["wire/cni", "wire/oci"],
  ["wire/helper", "wire/overlay", "wire/netavark", "wire/cnm", "wire/dns"],
  ["plan"],
  ["drivers/plugin"],
  ["drivers/main"],
  ["drivers/ipam", "drivers/meta", "drivers/uplinks"],
  ["drivers"],
  ["host"],
  ["engine"],
  ["features/networks", "features/limits"],
  ["features/overlay", "features/calls"],
  ["features/cni_plugin"],
  ["features/cni_runtime"],
  ["features/rootless", "features/netavark_plugin", "features/docker_plugin"],
  ["features/container"],
  ["features/run", "features/map", "features/top"],
  ["features/session", "features/helper"],
  ["features/page"],
  ["features/doctor"],
  ["features/trace"],
  ["commands"],
  ["main"],
  ["laws"],
];

/** Rooms that a room above them may not know all the same. */
const hidden: Readonly<Record<string, readonly string[]>> = {
  host: ["drivers/plugin", "drivers/main", "drivers/ipam", "drivers/meta", "drivers/uplinks", "drivers"],
};
/** Where a runtime's own API is used. */
const [nodeOnly, denoOnly] = ["src/host/node/", "src/host/deno/"];

const forTests = ["node:test", "node:assert/strict"];
/** Tests work on the real file system. */
const realWorld = "src/host/runtime.ts";

/** A machine in memory, and what is tried on it: nothing that is built knows them. */
const forTrials = /^src\/(host\/fake|laws\/)/;

/** Looks at both runtimes, before there is a world. */
const guard = "src/host/oldest.ts";

/** Services that have sockets by Node's layer on Deno too. */
const services = ["src/host/relay/", "src/host/resolver/"];

/** dns-packet takes Node's Buffer, which both runtimes have. */
const packets = "src/wire/dns/packet.ts";

/** Client certificates are taken by Node's layer on either runtime. */
const httpClient = "src/host/http.ts";

/** What is wrong in one file of src/: `file:line: reason`, a line each. */
export function findings(file: string, source: string): string[] {
  const code = tokens(source);
  const found = code.flatMap((token, i) => {
    const reason = importReason(file, code, i) ?? nameReason(file, code, i);
    return reason ? [`${file}:${token.line}: ${reason}`] : [];
  });
  return isTooLong(file, source)
    ? [...found, `${file}: over ${longest} lines, and its head says no reason`]
    : found;
}

/** Lines. More may be in a file whose first comment says why they are "in one file". */
const longest = 300;

function isTooLong(file: string, source: string): boolean {
  const head = source.slice(0, source.indexOf("*/"));
  return !file.endsWith("_test.ts") && source.split("\n").length > longest + 1 &&
    !/in\s[\s*]*one\s[\s*]*file/i.test(head);
}

function importReason(file: string, code: readonly Token[], i: number): string | undefined {
  const specifier = importedAt(code, i);
  if (specifier === undefined) return;
  if (specifier.startsWith("node:")) return nodeReason(file, specifier);
  if (!specifier.startsWith(".")) return;
  const target = normalize(join(dirname(file), specifier));
  const isTrial = file.endsWith("_test.ts") || forTrials.test(file);
  if (isTrial && target === realWorld) return;
  if (!isTrial && forTrials.test(target)) return `only tests may import ${target}`;
  const [from, to] = [roomOf(file), roomOf(target)];
  if (to === undefined) return `${target} is outside src/`;
  const [fromFloor, toFloor] = [from, to].map((room) =>
    order.findIndex((floor) => floor.includes(room ?? ""))
  );
  if (fromFloor! < 0) return `no rule says what ${from ?? file} may import`;
  if (from === to || (toFloor! >= 0 && toFloor! < fromFloor! && !hidden[from!]?.includes(to))) return;
  return `${from} must not import ${to}`;
}

function nodeReason(file: string, specifier: string): string | undefined {
  if (
    file.startsWith(nodeOnly) || file === httpClient ||
    services.some((service) => file.startsWith(service)) && !file.endsWith("_test.ts")
  ) return;
  if (file === packets && specifier === "node:buffer") return;
  if (!file.endsWith("_test.ts") && !file.startsWith("src/laws/")) {
    return `only ${nodeOnly} may import ${specifier}`;
  }
  if (!forTests.includes(specifier)) return `a test may import ${forTests.join(" and ")}, not ${specifier}`;
}

function nameReason(file: string, code: readonly Token[], i: number): string | undefined {
  const [before, at, after] = [code[i - 1], code[i], code[i + 1]];
  if (at?.kind !== "word" || file === guard) return;
  if (at.text === "Deno" && !file.startsWith(denoOnly)) return `only ${denoOnly} may name Deno`;
  // A method of another package may be called process, as ipaddr.js's is.
  const global = before?.text !== "." || code[i - 2]?.text === "globalThis";
  const used = after?.text === "." || after?.text === "[" || after?.text === "?";
  if (at.text === "process" && global && used && !file.startsWith(nodeOnly)) {
    return `only ${nodeOnly} may name process`;
  }
}

/** The specifier, where token i is one: `from "x"`, `import "x"`, `import("x")`. */
function importedAt(code: readonly Token[], i: number): string | undefined {
  const [second, first, at] = [code[i - 2], code[i - 1], code[i]];
  if (at?.kind !== "string") return;
  const imports = first?.text === "from" || first?.text === "import" ||
    (first?.text === "(" && second?.text === "import");
  return imports ? at.text.slice(1, -1) : undefined;
}

/** "plan" of src/plan/step.ts, "main" of src/main.ts, "features/run" of src/features/run/run.ts. */
function roomOf(file: string): string | undefined {
  const [, inside] = /^src\/(.+?)(?:_test)?\.ts$/.exec(file) ?? [];
  if (inside === undefined) return undefined;
  const rooms = order.flat();
  if (rooms.includes(inside)) return inside;
  const [first, second] = inside.split("/");
  const room = `${first}/${second}`;
  return rooms.includes(room) || !rooms.includes(first!) && inside.split("/").length > 2 ? room : first;
}

if (import.meta.main) {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts")
  );
  const found = files.flatMap((file) => findings(`src/${file}`, readFileSync(`src/${file}`, "utf8")));
  for (const line of found) console.error(line);
  process.exitCode = found.length ? 1 : 0;
}
