// First, before what an old runtime cannot evaluate.
import "./host/oldest.ts";
import { load } from "./host/part.ts";
import { relay } from "./host/relay/relay.ts";
import { resolve } from "./host/resolver/resolver.ts";
import { closeInherited, ownProcess, prepareRuntime, realWorld } from "./host/runtime.ts";
import { cniByWords } from "./commands/cni.ts";
import { noDaemon } from "./commands/dhcp_daemon.ts";
import { failure, traceOf } from "./commands/failure.ts";
import { checkStage, hook } from "./commands/hook.ts";
import { plugin } from "./commands/plugin.ts";
import { isPluginName } from "./drivers/table.ts";
import { type Console, runCommand } from "./commands/program.ts";
import { readRun, run } from "./commands/run.ts";
import { supervise } from "./commands/supervise.ts";
import { worker } from "./commands/worker.ts";
import type { World } from "./plan/world.ts";

declare const OCINET_VERSION: string;

/** Options by which a person gives themselves away. */
const typedOnly = ["--help", "-h", "--json", "--dry-run", "--log-level"];

/** The caller decides what this file is; only what that needs is evaluated. */
async function main(): Promise<number> {
  await prepareRuntime();
  const [verb, ...rest] = ownProcess.args();
  // It may not even look who called.
  if (verb === "relay") return await relay(rest);
  if (verb === "resolver") return await resolve(rest);
  if (verb === "worker") return await worker(realWorld(), rest, act, load);
  closeInherited();
  if (verb === "supervise") return await supervise(realWorld(), ownProcess, rest, runByWords);
  return await act();
}

/** Does what the arguments, and the name that this file was called by, say. */
async function act(): Promise<number> {
  const [verb, ...rest] = ownProcess.args();
  const called = verb === "plugin" ? rest[0] ?? "" : calledAs();
  if (isDaemon(called, ownProcess.args())) {
    ownProcess.print("stderr", noDaemon);
    return 0;
  }
  if (isPluginName(called)) return await beAPlugin(called);
  if (verb === "version" && rest.length === 0) {
    ownProcess.print("stdout", `ocinet ${OCINET_VERSION}\n`);
    return 0;
  }
  try {
    const plain = !rest.some((word) =>
      typedOnly.some((typed) => word === typed || word.startsWith(`${typed}=`))
    );
    if (verb === "hook" && plain) {
      checkStage(rest[0]);
      await hook(realWorld(), rest, await ownProcess.stdin());
      return 0;
    }
    if (verb === "cni" && plain) {
      ownProcess.print("stdout", await cniByWords(realWorld(), rest));
      return 0;
    }
    return await runCommand(realWorld(), ownProcess, OCINET_VERSION);
  } catch (error) {
    const { text, code } = failure(error);
    ownProcess.print("stderr", text + traceOf(realWorld(), error));
    return code;
  }
}

/** What runs a command: the words of most need nothing of the rest. */
async function runByWords(world: World, console: Console): Promise<number> {
  const [verb, ...rest] = console.args();
  const running = verb === "run" ? readRun(rest) : undefined;
  if (!running) return await runCommand(world, console, OCINET_VERSION);
  await run(world, running.command, running.given);
  return 0;
}

/** Whether the reference's DHCP daemon is meant: `dhcp daemon`, by whatever name this file is called. */
function isDaemon(called: string, words: readonly string[]): boolean {
  const own = words[0] === "plugin" ? words.slice(2) : words;
  return (called === "dhcp" ? own[0] : own[0] === "dhcp" ? own[1] : undefined) === "daemon";
}

/** The name this file was called by, which its launcher passes on. */
function calledAs(): string {
  const path = realWorld().env("OCINET_CALLED_AS") ?? "";
  return path.slice(path.lastIndexOf("/") + 1);
}

async function beAPlugin(type: string): Promise<number> {
  const { stdout, stderr, code } = await plugin(realWorld(), type, ownProcess.stdin);
  if (stderr !== "") ownProcess.print("stderr", stderr);
  if (stdout !== "") ownProcess.print("stdout", stdout);
  return code;
}

// Not awaited at the top: the bundle is a plain script.
main().then((code) => ownProcess.exit(code));
