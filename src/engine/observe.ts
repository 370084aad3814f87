import { askAgent } from "../plan/ask_agent.ts";
import { lookInside, parseInside } from "../plan/inside.ts";
import type { Device, HostState, Link } from "../plan/host_state.ts";
import { whyFailed, type World } from "../plan/world.ts";
import { agentSocket } from "../wire/overlay/requests.ts";
import { askLinks, bridgeFacts, linkExists, linkNames, type OwnBridge, readOwnBridge } from "./links.ts";
import { advertisedLinks, defaultLink } from "./routes.ts";

/** The look-ups of all plugins. */
export interface AllLookups {
  readonly links: readonly string[];
  readonly names: readonly string[];
  readonly ownBridges: readonly OwnBridge[];
  readonly sysctls: readonly string[];
  readonly defaultMaster: boolean;
  readonly advertised: boolean;
  readonly devices: readonly string[];
  readonly files: readonly string[];
  readonly reached: readonly string[];
  readonly inside: boolean;
  readonly insideSysctls: readonly string[];
  readonly answers: readonly string[];
  readonly agent: readonly string[];
}

/**
 * Looks up the host's state, and the container's if requested and possible, at the same time. No complete kernel table
 * is read, so the cost does not depend on the number of links, addresses and routes.
 */
export async function observe(
  world: World,
  wanted: AllLookups,
  container: readonly string[] | undefined,
): Promise<HostState> {
  const [host, answers, agent, inside] = await Promise.all([
    observeHost(world, wanted),
    ask(world, wanted.answers),
    askOverlay(world, wanted.agent),
    wanted.inside && container ? observeInside(world, wanted, container) : {},
  ]);
  const said = [...answers, ...agent];
  return { ...host, ...(said.length === 0 ? {} : { answers: new Map(said) }), ...inside };
}

async function observeInside(
  world: World,
  { insideSysctls }: AllLookups,
  container: readonly string[],
): Promise<Pick<HostState, "inside">> {
  const argv = [...container, "sh", "-c", lookInside, "sh", ...insideSysctls];
  const output = await world.run(argv, { looks: true });
  if (output.code !== 0) {
    throw new Error(`Cannot look into the container's network namespace: ${whyFailed(output)}`);
  }
  return { inside: parseInside(output.stdout, insideSysctls) };
}

type Answers = readonly (readonly [string, string])[];

/** The output of commands. A command about a link that does not exist is not run and has no answer. */
async function ask(world: World, commands: readonly string[]): Promise<Answers> {
  const isThere = (command: string) => {
    const link = / dev (\S+)/.exec(command)?.[1];
    return link === undefined || linkExists(world, link);
  };
  return await Promise.all(
    commands.filter(isThere).map(async (command) => {
      const { stdout } = await world.run(command.split(" "), { looks: true });
      return [command, stdout] as const;
    }),
  );
}

/** The agent's answers. */
async function askOverlay(world: World, requests: readonly string[]): Promise<Answers> {
  return await Promise.all(requests.map(async (request) => {
    const socket = agentSocket(world.env("OCINET_STATE_DIR"));
    return [request, await askAgent(world, socket, request, { looks: true })] as const;
  }));
}

/** Looks up the host's state: from files, and with one `ip` for what is in no file. */
async function observeHost(world: World, wanted: AllLookups): Promise<HostState> {
  const { names, sysctls, defaultMaster, advertised, files, reached } = wanted;
  const route = defaultMaster ? await defaultLink(world) : undefined;
  const { links, devices, reached: ways } = await observeLinks(world, wanted, route);
  return {
    ...{ links, devices },
    names: new Set(names.filter((name) => linkExists(world, name))),
    sysctls: new Map(sysctls.map((key) => [key, world.read(`/proc/sys/${key}`)?.trim() ?? ""])),
    files: new Map(files.flatMap((path) => {
      const text = world.read(path);
      return text === undefined ? [] : [[path, text] as const];
    })),
    ...(reached.length === 0 ? {} : { reached: ways }),
    ...(route === undefined ? {} : { defaultLink: route }),
    ...(advertised ? { advertised: await advertisedLinks(world), unforwarded: () => linkNames(world) } : {}),
  };
}

type Observed = Required<Pick<HostState, "links" | "devices" | "reached">>;

async function observeLinks(
  world: World,
  { links, ownBridges, devices, reached }: AllLookups,
  route: string | undefined,
): Promise<Observed> {
  const own = ownBridges.filter(({ name }) => !links.includes(name))
    .flatMap((bridge) => readOwnBridge(world, bridge) ?? []);
  const others = ownBridges.map(({ name }) => name).filter((name) => !own.some((link) => link.name === name));
  const [macs, paths] = [true, false].map((isMac) => devices.filter((id) => id.startsWith("/") !== isMac));
  const found = new Map(paths!.flatMap((id) => {
    const device = readDevice(world, id);
    return device === undefined ? [] : [[id, device] as const];
  }));
  const behind = [route, ...[...found.values()].map(({ link }) => link)].filter((name) => name !== undefined);
  const asked = await askLinks(world, {
    links: [...new Set([...links, ...others, ...behind])],
    ...{ reached, macs: macs! },
    renamed: ownBridges.filter(({ name }) => !linkExists(world, name)),
  });
  const all = [...asked.links, ...own.map((link) => [link.name, link] as const)];
  return {
    links: new Map([...all, ...[...asked.macs.values()].map((link) => [link.name, link] as const)]
      .map(([name, link]) => [name, withHardware(world, link)])),
    devices: new Map([...found, ...[...asked.macs].map(([mac, { name }]) => [mac, { link: name }] as const)]),
    reached: asked.reached,
  };
}

/**
 * Adds what `ip` does not report, or only since 5.14 (the hardware device). It needs a /sys of our network namespace;
 * without, whether a bridge's MAC address is fixed is unknown, and fixing it once more does no harm.
 */
function withHardware(world: World, link: Link): Link {
  if (!linkExists(world, link.name)) return link;
  const file = (leaf: string) => world.read(`/sys/class/net/${link.name}/${leaf}`)?.trim() ?? "";
  if (file("ifindex") !== String(link.index)) {
    return link.kind === "bridge" ? { ...link, floatingMac: true } : link;
  }
  const [lower, device] = [Number(file("iflink")), world.readLink(`/sys/class/net/${link.name}/device`)];
  return {
    ...link,
    hardware: link.hardware === true || device !== undefined,
    deviceType: /^DEVTYPE=(.*)$/m.exec(file("uevent"))?.[1] ?? "",
    ...(device === undefined ? {} : { device: { name: device, port: file("dev_port") } }),
    ...(lower === link.index || lower === 0 ? {} : { lower }),
    ...(link.kind === "bridge" ? bridgeFacts(file) : {}),
  };
}

/** The device at a directory in /sys. virtio adds a level in between. */
function readDevice(world: World, directory: string): Device | undefined {
  if (world.stat(directory) === undefined) return undefined;
  const between = world.list(directory).filter((name) => name.startsWith("virtio"))
    .map((name) => `${directory}/${name}/net`);
  const links = [`${directory}/net`, ...between].map((path) => world.list(path)).find(({ length }) =>
    length > 0
  );
  const link = links?.toSorted()[0];
  const driver = world.readLink(`${directory}/driver`)?.split("/").at(-1);
  return { ...(link === undefined ? {} : { link }), ...(driver === undefined ? {} : { driver }) };
}
