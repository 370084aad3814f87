import {
  type Environment,
  parseCommand,
  parseEnvironment,
  type PluginCall,
} from "../wire/cni/environment.ts";
import { CniError, errorJson } from "../wire/cni/error.ts";
import { fields, parseJson } from "../wire/cni/fields.ts";
import { printJson } from "../wire/cni/output.ts";
import { atLeast, oldestVersion, resultFor, versions } from "../wire/cni/result.ts";
import { identifierProblem } from "../net/names.ts";
import type { World } from "../plan/world.ts";
import { versionsOf } from "../drivers/table.ts";
import { add } from "../features/cni_plugin/add.ts";
import { asCniError, checkVersion, type Context, contextOf } from "../features/cni_plugin/call.ts";
import { check, status } from "../features/cni_plugin/check.ts";
import { collectGarbage, del } from "../features/cni_plugin/del.ts";
import { stateDirectory } from "../engine/state.ts";
import { traceOf } from "./failure.ts";

/**
 * The version of the reference plugins that ours stand in for. nerdctl reads it from the about text, and asks for at
 * least 1.7.1 of the firewall plugin.
 */
const standsInFor = "v1.9.1";

/** What a plugin call prints, and how it ends. */
export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/**
 * Acts as the CNI plugin of a type: reads the environment, then the request on standard input.
 * @param readStdin is not called for VERSION, nor where there is no command at all
 */
export async function plugin(world: World, type: string, readStdin: () => Promise<string>): Promise<Answer> {
  if (!world.env("CNI_COMMAND")) return { stdout: "", stderr: about(type), code: 0 };
  if (world.env("CNI_COMMAND") === "VERSION") {
    return { stdout: `${versionJson(type)}\n`, stderr: "", code: 0 };
  }
  let version: string | undefined;
  try {
    const environment = parseEnvironment(world.env);
    const call = parseCall(type, environment, await readStdin());
    version = call.version;
    const stdout = await act(await contextOf(world, stateDirectory(world), call));
    return { stdout, stderr: "", code: 0 };
  } catch (error) {
    return { stdout: errorJson(asCniError(error), version), stderr: traceOf(world, error), code: 1 };
  }
}

function about(type: string): string {
  const known = versionsOf(type).join(", ");
  return `CNI ${type} plugin ${standsInFor}\nCNI protocol versions supported: ${known}\n`;
}

/** What a type prints for VERSION, without the end of the line. The launcher says the same by itself (scripts/answers.ts). */
export function versionJson(type: string): string {
  return JSON.stringify({ cniVersion: versions.at(-1), supportedVersions: versionsOf(type) });
}

/** The order of the checks is the reference's (skel.go): configuration, name, command, versions. */
function parseCall(type: string, environment: Environment, stdin: string): PluginCall {
  const json = parseJson(stdin);
  const conf = fields(json);
  const network = conf.string("name") ?? "";
  if (network === "") throw new CniError("invalidConfig", "missing network name");
  if (identifierProblem(network)) {
    throw new CniError("invalidConfig", "invalid characters found in network name", network);
  }
  const command = parseCommand(environment.command);
  const version = conf.string("cniVersion") ?? oldestVersion;
  checkVersion(type, version);
  const since = command === "CHECK"
    ? "0.4.0"
    : command === "GC" || command === "STATUS"
    ? "1.1.0"
    : oldestVersion;
  if (!atLeast(version, since)) {
    throw new CniError("incompatibleVersion", `config version does not allow ${command}`);
  }
  return {
    type,
    command,
    environment,
    request: json as Record<string, unknown>,
    network,
    version,
  };
}

async function act(context: Context): Promise<string> {
  const { command, version } = context.call;
  switch (command) {
    case "ADD":
      return printJson(resultFor(version, await add(context)));
    case "DEL":
      await del(context);
      return "";
    case "CHECK":
      await check(context);
      return "";
    case "GC":
      await collectGarbage(context);
      return "";
    case "STATUS":
      await status(context);
      return "";
    case "VERSION":
      return versionJson(context.call.type);
  }
}
