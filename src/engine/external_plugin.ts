import type { Command } from "../wire/cni/environment.ts";
import { CniError } from "../wire/cni/error.ts";
import { fields } from "../wire/cni/fields.ts";
import { isPluginType, type PluginConf } from "../wire/cni/network_list.ts";
import { emptyResult, resultFor } from "../wire/cni/result.ts";
import { typedLines } from "../plan/batch.ts";
import { searchPath } from "../plan/programs.ts";
import type { Output, RunOptions, World } from "../plan/world.ts";
import { table } from "../drivers/table.ts";

/** A call of a plugin that is not ours. */
export interface ExternalCall {
  readonly type: string;
  readonly command: Command;
  /** The request for the plugin's standard input. */
  readonly request: unknown;
  /** CNI's variables. The plugin also gets our whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly path: readonly string[];
  /** The time limit in milliseconds; five minutes by default, because a DHCP server may be slow. */
  readonly timeoutMs?: number;
}

/**
 * Finds the file of a plugin. As in libcni, it is the first regular file of that name, executable or not. A type that
 * is not a plain name is refused, because it could lead out of the directories.
 */
export function searchPlugin(world: World, type: string, path: readonly string[]): string | undefined {
  if (!isPluginType(type)) return undefined;
  return path.map((directory) => `${directory}/${type}`).find((file) => world.stat(file)?.kind === "file");
}

/** Finds the file of a plugin. @throws CniError in libcni's words if no directory has it */
export function findPlugin(world: World, type: string, path: readonly string[]): string {
  const found = searchPlugin(world, type, path);
  if (found) return found;
  if (!isPluginType(type)) {
    throw new CniError("invalidConfig", `invalid plugin name: ${JSON.stringify(type)}`);
  }
  const problem = path.length === 0 ? "no paths provided" : `failed to find plugin "${type}" in path`;
  throw new CniError("internal", path.length === 0 ? problem : `${problem} [${path.join(" ")}]`);
}

/** The start of a file that calls ocinet as a CNI plugin (commands/install_plugins.ts). */
export const stubStart = "#!/bin/sh\n# A CNI plugin of ocinet's.\n";

/** Whether a type runs in this process: no directory has it, or its file is ocinet itself or calls it. */
export function isOurs(world: World, type: string, path: readonly string[]): boolean {
  if (!Object.hasOwn(table, type)) return false;
  const found = searchPlugin(world, type, path);
  return found === undefined || isStub(world, found) ||
    world.stat(found)?.identity === world.stat(world.self.at(-1)!)?.identity;
}

/** Whether a file only calls ocinet. */
export function isStub(world: World, file: string): boolean {
  try {
    return world.readStart(file, stubStart.length) === stubStart;
  } catch {
    // The file may be unreadable.
    return false;
  }
}

/** The types in a plugin's configuration: its own and that of its IPAM. */
export function typesOf(plugin: PluginConf): readonly string[] {
  const ipam = table[plugin.type]?.role === "main"
    ? fields(plugin).object("ipam")?.string("type")
    : undefined;
  return [plugin.type, ...ipam === undefined ? [] : [ipam]];
}

/**
 * Runs a plugin that is not ours (SPEC.md, "Execution Protocol").
 * @returns its output, parsed; undefined if there was none
 * @throws CniError with the plugin's own code and message, or in libcni's words if it gave none (raw_exec.go)
 */
export async function callExternal(world: World, call: ExternalCall): Promise<unknown> {
  const file = findPlugin(world, call.type, call.path);
  const words = { CNI_COMMAND: call.command, ...call.env, CNI_PATH: call.path.join(":") };
  const stdin = JSON.stringify(call.request);
  const [began, timeoutMs] = [world.now(), call.timeoutMs ?? 300_000];
  const { code, stdout, stderr } = await runPlugin(world, file, {
    stdin,
    timeout: timeoutMs,
    // A hook may have no PATH. The reference's plugins need one to find iptables.
    env: { PATH: searchPath(world).join(":"), ...world.environment(), ...words },
    dry: { shows: shownCall(file, words, stdin), says: JSON.stringify(supposedAnswer(call)) },
    passOn: true,
  });
  if (code !== 0 && world.now() - began >= timeoutMs) {
    const problem = `Cannot wait for plugin "${call.type}" any longer: it has not ended`;
    throw new CniError("internal", `${problem} after ${timeoutMs / 1000} s`, stderr.trim());
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

/** The call as a shell command. */
function shownCall(file: string, env: Readonly<Record<string, string>>, stdin: string): string {
  const [command] = typedLines(["env", ...Object.entries(env).map((pair) => pair.join("=")), file]);
  return `${command} <<<${typedLines([stdin])}`;
}

/** The assumed answer in a dry run: the previous result, or a placeholder address. */
function supposedAnswer({ command, request }: ExternalCall): unknown {
  if (command !== "ADD") return {};
  const { prevResult, cniVersion } = request as { prevResult?: unknown; cniVersion: string };
  return prevResult ?? resultFor(cniVersion, { ...emptyResult, ips: [{ address: "0.0.0.0/24" }] });
}

/** Runs a plugin. Its file may be busy while it is being installed. Like libcni, we retry for five seconds. */
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
