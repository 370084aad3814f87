import type { Command } from "../wire/cni/environment.ts";
import { CniError } from "../wire/cni/error.ts";
import { fields } from "../wire/cni/fields.ts";
import { isPluginType, type PluginConf } from "../wire/cni/network_list.ts";
import { emptyResult, resultFor } from "../wire/cni/result.ts";
import { typedLines } from "../plan/batch.ts";
import { type Output, type RunOptions, searchPath, type World } from "../plan/world.ts";
import { table } from "../drivers/table.ts";

/** How a plugin that is not ours is called. */
export interface ExternalCall {
  readonly type: string;
  readonly command: Command;
  /** The request as it goes to the plugin's standard input. */
  readonly request: unknown;
  /** CNI's variables, beside which the plugin gets our whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly path: readonly string[];
  /** Milliseconds that it may take; five minutes, unless told: a DHCP server may take most of them. */
  readonly patience?: number;
}

/**
 * The file of a plugin: as for libcni, the first of that name that is one, whether or not it can be run. A type that is no
 * plain name could lead out of the directories.
 */
export function searchPlugin(world: World, type: string, path: readonly string[]): string | undefined {
  if (!isPluginType(type)) return undefined;
  return path.map((directory) => `${directory}/${type}`).find((file) => world.stat(file)?.kind === "file");
}

/** Where a plugin is. @throws CniError in libcni's words when no directory has it */
export function findPlugin(world: World, type: string, path: readonly string[]): string {
  const found = searchPlugin(world, type, path);
  if (found) return found;
  if (!isPluginType(type)) {
    throw new CniError("invalidConfig", `invalid plugin name: ${JSON.stringify(type)}`);
  }
  const problem = path.length === 0 ? "no paths provided" : `failed to find plugin "${type}" in path`;
  throw new CniError("internal", path.length === 0 ? problem : `${problem} [${path.join(" ")}]`);
}

/** How the file of a type begins that calls this program (commands/install_plugins.ts). */
export const stubStart = "#!/bin/sh\n# A CNI plugin of ocinet's.\n";

/** A type that no directory has, or whose file is this very program or calls it, runs in this process. */
export function isOurs(world: World, type: string, path: readonly string[]): boolean {
  if (!Object.hasOwn(table, type)) return false;
  const found = searchPlugin(world, type, path);
  return found === undefined || isStub(world, found) ||
    world.stat(found)?.identity === world.stat(world.self.at(-1)!)?.identity;
}

/** Whether a file only calls this program. */
export function isStub(world: World, file: string): boolean {
  try {
    return world.readStart(file, stubStart.length) === stubStart;
  } catch {
    // It may not be read.
    return false;
  }
}

/** The types that a plugin's object names: its own, and that of its IPAM. */
export function typesOf(plugin: PluginConf): readonly string[] {
  const ipam = table[plugin.type]?.role === "main"
    ? fields(plugin).object("ipam")?.string("type")
    : undefined;
  return [plugin.type, ...ipam === undefined ? [] : [ipam]];
}

/**
 * Runs a plugin that is not ours (SPEC.md, "Execution Protocol").
 * @returns what it printed, parsed; undefined where it printed nothing
 * @throws CniError with the plugin's own code and message, or in libcni's words where it gave none (raw_exec.go)
 */
export async function callExternal(world: World, call: ExternalCall): Promise<unknown> {
  const file = findPlugin(world, call.type, call.path);
  const words = { CNI_COMMAND: call.command, ...call.env, CNI_PATH: call.path.join(":") };
  const stdin = JSON.stringify(call.request);
  const [began, patience] = [Date.now(), call.patience ?? 300_000];
  const { code, stdout, stderr } = await runPlugin(world, file, {
    stdin,
    timeout: patience,
    // A hook may have no PATH, without which the reference's plugins find no iptables.
    env: { PATH: searchPath(world).join(":"), ...world.environment(), ...words },
    dry: { shows: shownCall(file, words, stdin), says: JSON.stringify(supposedAnswer(call)) },
    passOn: true,
  });
  if (code !== 0 && Date.now() - began >= patience) {
    const problem = `Cannot wait for plugin "${call.type}" any longer: it has not ended`;
    throw new CniError("internal", `${problem} after ${patience / 1000} s`, stderr.trim());
  }
  if (code !== 0) throw externalError(code, stdout, stderr);
  if (stdout.trim() === "") {
    if (call.command !== "ADD") return undefined;
    throw new CniError("decode", "failed to unmarshal raw result: unexpected end of JSON input");
  }
  try {
    return JSON.parse(stdout);
  } catch (error) {
    throw new CniError("decode", `failed to unmarshal raw result: ${(error as Error).message}`);
  }
}

/** A call as a person would type it into a shell. */
function shownCall(file: string, env: Readonly<Record<string, string>>, stdin: string): string {
  const [command] = typedLines(["env", ...Object.entries(env).map((pair) => pair.join("=")), file]);
  return `${command} <<<${typedLines([stdin])}`;
}

/** What a plugin that is not asked may answer: what it was given, or an address that stands for one not known yet. */
function supposedAnswer({ command, request }: ExternalCall): unknown {
  if (command !== "ADD") return {};
  const { prevResult, cniVersion } = request as { prevResult?: unknown; cniVersion: string };
  return prevResult ?? resultFor(cniVersion, { ...emptyResult, ips: [{ address: "0.0.0.0/24" }] });
}

/** A file that somebody is just installing cannot be run yet; like libcni, we try again for five seconds. */
async function runPlugin(world: World, file: string, options: RunOptions): Promise<Output> {
  for (let tries = 0;; tries++) {
    try {
      return await world.run([file], options);
    } catch (error) {
      if (tries === 5 || !/ETXTBSY|Text file busy/i.test(String(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function externalError(code: number, stdout: string, stderr: string): CniError {
  const said = (problem: string) => new CniError("internal", `netplugin failed${problem}`);
  if (stdout.trim() === "") {
    return stderr.trim() === ""
      ? said(` with no error message: exit status ${code}`)
      : said(`: ${JSON.stringify(stderr.trim())}`);
  }
  try {
    const error = fields(JSON.parse(stdout), "error");
    return new CniError(error.integer("code") ?? 0, error.string("msg") ?? "", error.string("details") ?? "");
  } catch (error) {
    const problem = (error as Error).message;
    return said(` but error parsing its diagnostic message ${JSON.stringify(stdout)}: ${problem}`);
  }
}
