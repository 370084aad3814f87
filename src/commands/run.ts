import { messageOf } from "../wire/cni/error.ts";
import {
  containerOptions,
  isNamed,
  type Option,
  type OptionValues,
  parseWords,
} from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { runConnected } from "../features/run/run.ts";
import { stateDirectory } from "../engine/state.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { StatusError } from "./failure.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** All that containers have, and the name that `ocinet ls` shows. */
export const runOptions: readonly Option[] = [
  ...containerOptions,
  {
    name: "id",
    also: "name",
    value: "ID",
    text: "the name it is listed by (default: run-N)",
    many: false,
    annotation: false,
  },
];

/** Exit statuses as env(1), nohup(1) and docker have them. */
export const status = { failed: 125, cannotRun: 126, notFound: 127 } as const;

export const runHelp = `
Without root, the command runs as root of a user namespace, as with unshare -r. When it ends, all processes that it has
started end too. (As root without usable cgroups, only those that share a namespace with it end.)
Exit status: the command's own, or 128 plus the number of the signal that ended it; ${status.failed} if ocinet failed or was used
wrongly, and the command did not run; ${status.cannotRun} if it cannot be executed, ${status.notFound} if it is not found.
`;

/**
 * The words of a command line that asks for nothing but to be run, or undefined. Commander reads all others: those with
 * --help, a mistake, or a directory, which may be a relative one. To load it takes as long as to connect.
 */
export function readRun(
  argv: readonly string[],
): { readonly command: readonly string[]; readonly given: OptionValues } | undefined {
  const known = runOptions.filter(({ value }) => value !== "DIR");
  for (let at = 0; at < argv.length;) {
    const word = argv[at]!;
    if (!word.startsWith("-") || word === "--") {
      const command = argv.slice(word === "--" ? at + 1 : at);
      return command.length === 0 ? undefined : { command, given: parseWords(argv.slice(0, at), known) };
    }
    const [name, value] = word.split("=");
    if (!known.some((option) => isNamed(option, word.startsWith("--") ? name! : word))) return undefined;
    at += value === undefined ? 2 : 1;
  }
  return undefined;
}

/** Runs a command in namespaces of its own, connected. @throws StatusError when it was not run */
export async function run(
  world: World,
  command: readonly string[],
  given: OptionValues,
): Promise<Report> {
  checkBytes(given);
  checkProgram(world, command[0]!);
  try {
    await runConnected(world, stateDirectory(world), {
      id: given.get("id")?.at(-1),
      options: asTyped(() => parseAttachOptions(given)),
      words: command.length,
    });
    return { text: "", json: undefined };
  } catch (error) {
    throw new StatusError(messageOf(error), status.failed);
  }
}

/** The command may be any bytes, its options may not. @throws StatusError naming the option */
export function checkBytes(given: OptionValues): void {
  for (const [name, values] of given) {
    if (!values.some((value) => value.includes("\ufffd"))) continue;
    throw new StatusError(`Cannot use --${name}: its value is not UTF-8`, status.failed);
  }
}

/** Better said before anything is made for it, and in our words. @param root where it will see files */
export function checkProgram(world: World, name: string, root = ""): void {
  // It is no UTF-8, or in a directory over which something else is mounted there, and cannot be looked for.
  if (name.includes("\ufffd") || root !== "" && /^[^/]+\//.test(name)) return;
  const directories = (world.env("PATH") ?? "").split(":").map((directory) => directory || ".");
  const paths = name.includes("/") ? [name] : directories.map((directory) => `${directory}/${name}`);
  const modes = paths.flatMap((path) => {
    const stat = look(world, path.startsWith("/") ? root + path : `/proc/self/cwd/${path}`);
    return stat?.kind === "file" ? [stat.mode] : [];
  });
  if (modes.length === 0) {
    const where = name.includes("/") ? "there is no such file" : "it is not on PATH";
    throw new StatusError(`Cannot run "${name}": ${where}`, status.notFound);
  }
  if (modes.every((mode) => (mode & 0o111) === 0)) {
    throw new StatusError(`Cannot run "${name}": it is not executable`, status.cannotRun);
  }
}

function look(world: World, path: string) {
  try {
    return world.stat(path);
  } catch {
    // In a directory that may not be read.
    return undefined;
  }
}
