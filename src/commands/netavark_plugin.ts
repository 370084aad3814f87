import { messageOf } from "../wire/cni/error.ts";
import { fields, parseJson } from "../wire/cni/fields.ts";
import { oneLine, printJson } from "../wire/cni/output.ts";
import { parseCreate } from "../wire/netavark/network.ts";
import type { World } from "../plan/world.ts";
import { explain } from "../engine/step_error.ts";
import { stateDirectory } from "../engine/state.ts";
import { setUp, tearDown } from "../features/netavark_plugin/attach.ts";
import { completeNetwork } from "../features/netavark_plugin/create.ts";
import type { Report } from "./report.ts";

/** The version of netavark's plugin API that this is. */
const apiVersion = "1.0.0";

/** What the help of `netavark-plugin` says. */
export const netavarkHelp = `
podman and netavark call this command through a file. Make it with "ocinet install-plugins --netavark DIRECTORY", name
the directory in netavark_plugin_dirs of containers.conf, and create networks with "podman network create -d ocinet".
Options (-o): type=bridge|ptp|macvlan|ipvlan, parent, mode, mtu, metric, no_default_route, and those of Docker's bridge.
`;

/** How a call came to be. */
export interface NetavarkCall {
  readonly words: readonly (string | undefined)[];
  readonly version: string;
  stdin(): Promise<string>;
}

/** Acts as a plugin of netavark's; an error is an answer, too. */
export async function netavarkPlugin(world: World, call: NetavarkCall): Promise<Report> {
  try {
    const json = await answer(world, call);
    return { json, text: json === undefined ? "" : `${printJson(json)}\n` };
  } catch (error) {
    const json = { error: oneLine(messageOf(explain(error))) };
    return { json, text: `${printJson(json)}\n`, code: 1 };
  }
}

async function answer(
  world: World,
  { words: [verb, netns], version, stdin }: NetavarkCall,
): Promise<unknown> {
  switch (verb) {
    case "info":
      return { version, api_version: apiVersion };
    case "create": {
      const { network, given } = parseCreate(parseJson(await stdin(), "the network"));
      return await completeNetwork(world, network, given);
    }
    case "setup":
      return await setUp(world, stateDirectory(world), checkNetns(verb, netns), await readRequest(stdin));
    case "teardown":
      return await tearDown(world, stateDirectory(world), checkNetns(verb, netns), await readRequest(stdin));
    default:
      throw new Error(`Cannot do "${verb ?? ""}": a netavark plugin has info, create, setup and teardown`);
  }
}

async function readRequest(stdin: () => Promise<string>): Promise<unknown> {
  const json = parseJson(await stdin(), "the request");
  fields(json, "the request");
  return json;
}

function checkNetns(verb: string, netns: string | undefined): string {
  if (netns?.startsWith("/")) return netns;
  throw new Error(`Cannot do ${verb}: it needs the absolute path of a network namespace`);
}
