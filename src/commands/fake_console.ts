/** A terminal for tests of the command line. */
import type { World } from "../plan/world.ts";
import { runCommand } from "./program.ts";

/** What a command line prints, and its exit status. @param columns of the terminal; without, it is none */
export async function typedIn(world: World, line: string, columns?: number) {
  const printed = { stdout: "", stderr: "" };
  const console = {
    args: () => line.split(" "),
    stdin: () => Promise.resolve(""),
    print: (to: "stdout" | "stderr", text: string) => void (printed[to] += text),
    columns: () => columns,
  };
  return { code: await runCommand(world, console, "1.2.3"), ...printed };
}
