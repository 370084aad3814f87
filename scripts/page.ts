/**
 * page.ts check DIRECTORY FILE...: runs what pages have their readers do (blocks.ts), and compares what is printed.
 * page.ts show DIRECTORY FILE: shows each step, and waits for a key before it; page.ts watch does not wait.
 * PAGE_USER, PAGE_HOME and PAGE_RUNTIME_DIR are the ordinary user's. The directory is for files of the run.
 */
import process from "node:process";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Command, commandsOf, isAsSaid, notRun } from "./blocks.ts";

interface Outcome {
  readonly printed: string;
  /** The command that failed, with its status; absent: none did. */
  readonly failed?: string;
}

interface Shell {
  run(command: Command): Promise<Outcome>;
  end(how: string): Promise<void>;
}

/** What the lines of pages find in their shells: jobs are groups of processes, and a server may need a moment. */
const prelude = `
set -m
page_status=0 page_command=
trap 'page_status=$? page_command=$BASH_COMMAND' ERR
curl() { command curl --silent --retry 60 --retry-delay 1 --retry-all-errors --retry-max-time 60 "$@"; }
sudo() { "$@"; }
`;

/** What a page leaves is not the next one's. */
const epilogue: Readonly<Record<Command["as"], string>> = {
  root: `
for id in $(runc list -q 2>/dev/null); do runc delete --force "$id"; done
for id in $(ocinet ls --json | jq -r '.[].id'); do ocinet down "$id"; done
for job in $(jobs -p); do kill -- "-$job"; done; wait
ip -all netns delete
ocinet network prune; ocinet gc`,
  user: `
ocinet session stop 2>/dev/null
for id in $(runc list -q 2>/dev/null); do runc delete --force "$id"; done
for job in $(jobs -p); do kill -- "-$job"; done; wait`,
};

/** Milliseconds after which a step counts as one that never ends, on the slowest machine. */
const stepLimit = 600_000;

/** A shell of one user's, which keeps its directory and variables from block to block. */
function startShell(argv: readonly string[], directory: string): Shell {
  const child = spawn(argv[0]!, argv.slice(1), { cwd: directory, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const closed = new Promise<void>((done) => child.on("close", () => done()));
  let number = 0;
  child.stdin.on("error", () => {}).write(prelude);
  return {
    async run({ text, isBackground }) {
      const file = `${directory}/${++number}`;
      writeFileSync(`${file}.sh`, `${text}\n`);
      chmodSync(`${file}.sh`, 0o644);
      child.stdin.write(
        `page_status=0; . ${file}.sh >${file}.out 2>&1 </dev/null ${isBackground ? "& " : ";"}` +
          ` printf '%s\\n' "$page_status \${page_command//$'\\n'/ }"\n`,
      );
      const late = setTimeout(() => child.kill("SIGKILL"), stepLimit);
      const { value, done } = await lines.next().finally(() => clearTimeout(late));
      const printed = existsSync(`${file}.out`) ? readFileSync(`${file}.out`, "utf8") : "";
      if (done) return { printed, failed: "the shell has ended, by itself or after ten minutes" };
      const [status, ...failed] = (value as string).split(" ");
      return status === "0" ? { printed } : { printed, failed: `${failed.join(" ")}: exit status ${status}` };
    },
    end: (how) => {
      child.stdin.end(`{ trap - ERR; ${how}\n} </dev/null >${directory}/end.out 2>&1\n`);
      return closed;
    },
  };
}

function shellsOf(directory: string): Readonly<Record<Command["as"], Shell>> {
  const user = process.env["PAGE_USER"]!;
  const places = { root: `${directory}/root`, user: `${directory}/user` };
  for (const place of Object.values(places)) {
    mkdirSync(place, { recursive: true });
    chmodSync(place, 0o777);
  }
  return {
    root: startShell(["bash"], places.root),
    user: startShell(
      ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "bash", "-c", userShell],
      places.user,
    ),
  };
}

/** An environment as after a login. */
const userShell =
  'cd "$PAGE_HOME" && exec env -i PATH="$PATH" USER="$PAGE_USER" LOGNAME="$PAGE_USER" HOME="$PAGE_HOME" ' +
  'XDG_RUNTIME_DIR="$PAGE_RUNTIME_DIR" bash';

/** What is wrong with a page when it is done as it says, a line each. */
async function check(file: string, directory: string): Promise<readonly string[]> {
  const commands = commandsOf(readFileSync(file, "utf8"));
  if (commands.length === 0) return [];
  const shells = shellsOf(directory);
  const wrong: string[] = [];
  for (const command of commands) {
    if (process.env["PAGE_TRACE"]) console.error(`${file}:${command.line}`);
    const { printed, failed } = await shells[command.as].run(command);
    const at = `${file}:${command.line}: ${command.text.split("\n").slice(0, 3).join("\n")}`;
    if (command.fails ? failed === undefined : failed !== undefined) {
      wrong.push(`${at}\n  ${failed ?? "does not fail"}\n${printed}`);
    } else if (command.expected !== undefined && !isAsSaid(command.expected, printed)) {
      wrong.push(`${at}\n  prints:\n${printed}\n  and not:\n${command.expected}`);
    }
  }
  await shells.user.end(epilogue.user);
  await shells.root.end(epilogue.root);
  console.log(
    `${file}: ${commands.length} steps, ${wrong.length} wrong, ${
      notRun(readFileSync(file, "utf8")).length
    } blocks not run`,
  );
  return wrong;
}

/** Shows a page's text with its steps, and runs them. @returns whether all of them did what the page says */
async function show(file: string, directory: string, waits: boolean): Promise<boolean> {
  const shells = shellsOf(directory);
  const text = readFileSync(file, "utf8");
  const keys = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  let [at, isRight] = [0, true];
  for (const command of commandsOf(text)) {
    const between = text.split("\n").slice(at, command.line - 1).join("\n");
    // Between two commands of one block there is only what the first one prints.
    console.log(at === 0 || /^```/m.test(between) ? proseOf(between) : "");
    at = Math.max(at, command.line + command.text.split("\n").length - 1);
    if (!command.isHidden) console.log(command.text.replace(/^/gm, command.as === "root" ? "  # " : "  $ "));
    if (waits && !command.isHidden && (await keys.next()).done) break;
    const { printed, failed } = await shells[command.as].run(command);
    console.log(printed.replace(/^(?=.)/gm, "  "));
    isRight &&= command.fails === (failed !== undefined);
    if (command.fails !== (failed !== undefined)) {
      console.log(`  This was not to be: ${failed ?? "it succeeded"}`);
    }
  }
  console.log(proseOf(text.split("\n").slice(at).join("\n")));
  await shells.user.end(epilogue.user);
  await shells.root.end(epilogue.root);
  return isRight;
}

/** The text between blocks, without comments and what blocks print. */
function proseOf(text: string): string {
  const lines = text.replace(/<!--[^]*?-->\n?/g, "").split("\n");
  const end = lines.indexOf("```");
  return lines.slice(end + 1).filter((line) => !line.startsWith("```")).join("\n").trim();
}

if (import.meta.main) {
  const [mode, directory, ...files] = process.argv.slice(2);
  if (mode === "check") {
    const wrong: string[] = [];
    for (const [i, file] of files.entries()) wrong.push(...await check(file, `${directory}/${i}`));
    console.log(wrong.join("\n"));
    process.exit(wrong.length > 0 ? 1 : 0);
  }
  process.exit(await show(files[0]!, directory!, mode === "show") ? 0 : 1);
}
