import type { World } from "../plan/world.ts";
import { exitScript, textOf } from "../features/run/script.ts";
import { procProblem } from "../engine/process.ts";
import { failure, StatusError } from "./failure.ts";
import type { Console } from "./program.ts";
import { status } from "./run.ts";

/** What is needed of our own process. */
type Own = Pick<Console, "print"> & { printBytes(text: string): void };

/**
 * Does what a shell was told that waits to become a command: `ocinet run` or `ocinet session exec` (src/launcher.sh). If
 * it does not become one, it is told how to end.
 * @param words its pid, and how many words it was given
 * @returns our own exit status
 */
export async function supervise(
  world: World,
  own: Own,
  [pid, count]: readonly string[],
  act: (world: World, console: Console) => Promise<number>,
): Promise<number> {
  const problem = procProblem(world);
  const words = problem ? [] : wordsOf(world, Number(pid), Number(count));
  let [isTold, output] = [false, ""];
  const tell = (script: string) => {
    if (!isTold) own.printBytes(`ocinet plan\n${script}\n`);
    isTold = true;
  };
  const console: Console = {
    args: () => words,
    stdin: () => Promise.resolve(""),
    print: (to, text) => to === "stdout" ? void (output += text) : own.print(to, text),
  };
  try {
    if (problem) throw new StatusError(`Cannot run a command: ${problem}`, status.failed);
    const code = await act({ ...world, caller: { pid: Number(pid), tell } }, console);
    tell(exitScript(withoutRun(code), output));
  } catch (error) {
    const { text, code } = failure(error);
    if (!isTold) own.print("stderr", text);
    tell(exitScript(withoutRun(code), output));
  }
  return 0;
}

/** A command that was not run has no say in the status; 2 could be its own. */
function withoutRun(code: number): number {
  return code === 2 ? status.failed : code;
}

/** The last words of a command line, as they were given. */
function wordsOf(world: World, pid: number, count: number): readonly string[] {
  const words = (world.readBytes(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1);
  return words.slice(words.length - count).map(textOf);
}
