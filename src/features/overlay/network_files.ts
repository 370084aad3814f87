import { configDirectory } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";
import { printJson } from "../../wire/cni/output.ts";
import { parseObject } from "../../wire/overlay/requests.ts";
import type { Agent } from "./agent_state.ts";
import { gatewayOf, type OverlayNetwork } from "./keys.ts";
import { knownNetwork } from "./agent_state.ts";

/** What a file of the agent's is called. */
const ownFile = /^overlay-(.+)\.conflist$/;

/** The network as a CNI configuration, which any runtime can use. By "ocinet" its containers know each other's names. */
function conflist(name: string, ocinet: unknown): string {
  const plugins = [{ type: "overlay", ipam: { type: "cluster" } }];
  return `${printJson({ cniVersion: "1.0.0", name, plugins, ocinet }, 2)}\n`;
}

/** What `network inspect` shows of it. */
function shown({ internal, subnets }: OverlayNetwork) {
  return { internal, ipam: subnets.map((Subnet) => ({ Subnet, Gateway: gatewayOf(Subnet) })) };
}

/**
 * Writes a file for each network of the cluster into the host's directory of networks, so that `--net NAME` finds it,
 * and takes away those of networks that are gone; all of them once the host has left the cluster.
 */
export function writeNetworkFiles(agent: Agent): void {
  const { world, networks } = agent;
  if (!networks.synced) return;
  const directory = `${configDirectory(world)}/net.d`;
  const names = agent.hasLeft ? [] : [...networks.entries.keys()];
  const wanted = new Map<string, string>(names.flatMap((name) => {
    const network = readable(agent, name);
    return network === undefined
      ? []
      : [[`overlay-${name}.conflist`, conflist(name, shown(network))] as const];
  }));
  for (const [file, text] of wanted) {
    const path = `${directory}/${file}`;
    if (world.read(path) === text) continue;
    world.makeDirectory(directory, 0o755);
    world.write(path, text, 0o644);
  }
  for (const file of world.list(directory)) {
    const name = ownFile.exec(file)?.[1];
    if (name === undefined || wanted.has(file) || agent.joined.has(name)) continue;
    if (isOwn(world, `${directory}/${file}`, name)) world.remove(`${directory}/${file}`);
  }
}

function readable(agent: Agent, name: string): OverlayNetwork | undefined {
  try {
    return knownNetwork(agent, name)?.network;
  } catch {
    return undefined;
  }
}

/** A file that a person has changed is theirs. */
function isOwn(world: World, path: string, name: string): boolean {
  const text = world.read(path) ?? "";
  try {
    return text === conflist(name, parseObject(text)["ocinet"]);
  } catch {
    return false;
  }
}
