import { parseArgs } from "../../wire/cni/args.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { Step } from "../../plan/step.ts";
import type { Asked, Entrance, Target } from "../../drivers/uplinks/uplink.ts";
import { enterUser, pidInside } from "../../engine/namespace.ts";
import type { Attached, Namespace } from "../../engine/record.ts";
import type { ChosenNetwork } from "../networks/networks.ts";
import { tellOfLost } from "../../engine/name_servers.ts";
import { containerPaths } from "../../engine/state.ts";
import { chooseUplink, granting, type UplinkOptions } from "./uplink.ts";

/** A container to connect without root. */
export interface RootlessRequest extends Entering {
  readonly options: Omit<UplinkOptions, "restricted" | "except">;
}

/** A container's connection, the name of the uplink that makes it, and the ports, each with who forwards it. */
export interface RootlessPlan {
  readonly by: string;
  readonly ports: readonly PortMapping[];
  readonly steps: readonly Step[];
  /** See `Uplink`. */
  readonly setsLoUp?: true | undefined;
  /** What is true once the steps have been done, or who has to be asked for it then. */
  readonly result: Result | (() => Promise<Result>);
  /** Another, should that be refused; absent where the user has asked for this one by name. */
  instead?(): Promise<RootlessPlan>;
}

/**
 * Connects a container of an ordinary user, who has no power over the host's links, by a process that speaks for it.
 * @throws Error for more than one network, one that is not built in, or ports that cannot be published this way
 */
export async function planRootless(
  world: World,
  state: string,
  request: RootlessRequest,
  attachments: readonly Attached[],
  except: readonly string[] = [],
): Promise<RootlessPlan> {
  const attached = onlyNetwork(attachments);
  refuseArgs(attached);
  const host = await granting(world);
  const restricted = attached.network.name === "default-restricted";
  const { uplink, options, ports } = await chooseUplink(world, state, host, {
    ...request.options,
    restricted,
    except,
  });
  const target = targetOf(world, state, request, attached);
  const own = ports.filter(({ relay }) => !relay);
  const plan = uplink.connect({ ...target, host, restricted }, options, own);
  if ("result" in plan) {
    const lost = restricted || request.options.files?.resolv !== "network"
      ? undefined
      : uplink.losesNames?.(host);
    if (lost !== undefined) tellOfLost(world, `uplink ${uplink.name}: ${lost}`);
    return { ...plan, by: uplink.name, ports, setsLoUp: uplink.setsLoUp };
  }
  const { steps, answer, read } = plan;
  const instead = () => planRootless(world, state, request, attachments, [...except, uplink.name]);
  return {
    ...{ by: uplink.name, ports, steps, result: async () => read(await askFor(world, answer)) },
    ...(request.options.uplink ? {} : { instead }),
  };
}

async function askFor(world: World, answer: Asked["answer"]): Promise<string> {
  if ("socket" in answer) return await world.request(answer.socket, answer.request);
  const { code, stdout, stderr } = await world.run(["cat", answer.file]);
  if (code !== 0) throw new Error(`Cannot tell how the container is connected: ${stderr.trim()}`);
  return stdout;
}

/** The networks that an uplink stands in for. */
const builtIn = ["default", "default-restricted"];

/** Refuses a file of the user's that stands in for one of these: the uplink would not do what it says. @throws Error naming it */
export function refuseStandIns(networks: readonly ChosenNetwork[]): void {
  const found = networks.find(({ list, path }) => path !== undefined && builtIn.includes(list.name));
  if (!found) return;
  throw new Error(
    `Cannot join network "${found.list.name}" of ${found.path} without root: an uplink makes the built-in one, and no other; ` +
      "give it a name of its own, or use a session, in which it counts: ocinet session exec",
  );
}

function onlyNetwork(attachments: readonly Attached[]): Attached {
  const foreign = attachments.find(({ network }) => !builtIn.includes(network.name));
  if (!foreign && attachments.length === 1) return attachments[0]!;
  throw new Error(
    `Cannot join ${foreign ? `network "${foreign.network.name}"` : "several networks"} without root: ` +
      'a rootless container has "default", "default-restricted", "none" or "host"; ' +
      "in a session there are all: ocinet session exec",
  );
}

/** By our uplinks' words for what root's plugins are asked for in CNI's. */
const keyFor: Readonly<Record<string, string>> = { IP: "cidr", GATEWAY: "cidr", MAC: "mac" };

function refuseArgs({ network, args }: Attached): void {
  const [name, value] = [...parseArgs(args)].find(([name]) => keyFor[name] !== undefined) ?? [];
  if (name === undefined) return;
  throw new Error(
    `Cannot use ${name}=${value} on network "${network.name}" without root: a rootless container's uplink has its ` +
      `address; use --uplink pasta:${keyFor[name]}=…, or slirp4netns:${keyFor[name]}=…`,
  );
}

function targetOf(
  world: World,
  state: string,
  request: RootlessRequest,
  { ifname, digest }: Attached,
): Omit<Target, "host" | "restricted"> {
  return {
    ...entranceOf(world, state, request),
    ...{ id: request.id, netns: request.container.netns, ifname },
    ...{ socket: socketPath(state, request.id, digest, "uplink") },
  };
}

/** A container as it can be entered now, and by what it will be known. */
export interface Entering {
  readonly id: string;
  readonly container: Namespace;
  readonly lasting?: Namespace;
}

/** How a program gets into a container. @throws Error for one that is known by nothing but a namespace */
export function entranceOf(world: World, state: string, { id, container, lasting }: Entering): Entrance {
  const pid = pidInside(container);
  if (pid === undefined) {
    throw new Error(
      `Cannot attach namespace "${container.netns}" without root: give the pid of a process in it instead, or use sudo`,
    );
  }
  const { directory } = containerPaths(state, id);
  world.makeDirectory(directory);
  return {
    ...{ pid, init: (lasting ?? container).init!.pid, lasting: pidInside(lasting ?? container)! },
    ownPidNamespace: world.readLink(`/proc/${pid}/ns/pid`) !== world.readLink("/proc/self/ns/pid"),
    ...{ enter: enterUser(container), directory },
    again: ["env", `OCINET_STATE_DIR=${state}`, ...world.self, "repair", id],
  };
}

/** Longest path of a unix socket (sun_path of unix(7), less its closing zero). */
const longestSocketPath = 107;

/** In the container's directory; where that path is too long, beside all of these, under a shorter name. */
export function socketPath(
  state: string,
  id: string,
  digest: string,
  name: string,
): string {
  const usual = `${containerPaths(state, id).directory}/${name}.sock`;
  if (usual.length <= longestSocketPath) return usual;
  const short = `${state}/s-${digest.slice(0, 15)}${name[0]}`;
  if (short.length > longestSocketPath) {
    throw new Error(
      `Cannot keep a socket in ${state}: the path is longer than ${longestSocketPath} bytes; set OCINET_STATE_DIR`,
    );
  }
  return short;
}
