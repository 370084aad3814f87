import { fromHere, prefixesOf, staleness } from "../../engine/namespace.ts";
import { reconcile } from "../../engine/reconcile.ts";
import { type Attached, type ContainerRecord, readContainer, writeRecord } from "../../engine/record.ts";
import { defaultMtu } from "../../engine/routes.ts";
import { containerPaths } from "../../engine/state.ts";
import { explain, RollbackError } from "../../engine/step_error.ts";
import { isRoot } from "../../engine/user.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { asTyped } from "../../engine/usage.ts";
import { flush, newFold } from "../cni_runtime/fold.ts";
import { planLimits } from "../limits/limits.ts";
import type { Network } from "../networks/catalog.ts";
import { nameSteps, refreshNames, resolversOf } from "../networks/names.ts";
import { type Service, serviceSteps, withService } from "../networks/services.ts";
import { listNetDirectories } from "../networks/networks.ts";
import type { BuiltIn } from "../networks/subnets.ts";
import { askResolvers } from "./asked_resolvers.ts";
import { addLink, guards } from "./attach_links.ts";
import { detach } from "./detach.ts";
import { type PlannedLink, plannedLink, stepsOf } from "./links.ts";
import { defaultRouteFilter } from "./default_route.ts";
import {
  checkAddresses,
  checkName,
  checkValues,
  freeName,
  isIpv6Off,
  refuseConnecting,
  refuseUplink,
} from "./live_checks.ts";
import { movePorts, newSteps } from "./lead_ports.ts";
import { believing, moveDefaults, takeOffChanging } from "./network_change.ts";
import { mayHaveIpv6, withoutIpv6 } from "./without_ipv6.ts";
import { changeContainer } from "./port_change.ts";

/** How a container is to be on a network. */
export interface EndpointOptions {
  readonly ip?: string | undefined;
  readonly ip6?: string | undefined;
  readonly mac?: string | undefined;
  readonly ifname?: string | undefined;
  readonly aliases: readonly string[];
  readonly gwPriority: number;
  readonly service?: Service;
  /** More directories of network files, which may have plugins beside them. */
  readonly netDirectories?: readonly string[];
}

/** A change of a container's networks, for who has its lock. */
type Change = (record: ContainerRecord) => Promise<ContainerRecord>;

/**
 * Connects a running container to one more network, or does nothing at all.
 * @returns what is recorded of it now
 * @throws Error in Docker's words where it has some
 */
export async function connectNetwork(
  world: World,
  state: string,
  id: string,
  network: Network,
  options: EndpointOptions,
): Promise<ContainerRecord> {
  asTyped(() => checkValues(options));
  return await change(world, state, id, async (record) => {
    refuseConnecting(record, network);
    checkAddresses(network, options);
    const ifname = options.ifname ?? freeName(world, record);
    checkName(world, record, ifname);
    const isOff = (options.ip6 !== undefined || mayHaveIpv6(network.list!)) &&
      await isIpv6Off(world, fromHere(world, record.container));
    if (isOff && options.ip6 !== undefined) {
      throw new Error(
        `Cannot give container "${id}" address ${options.ip6}: IPv6 is off in it (net.ipv6.conf.all.disable_ipv6=1); leave --ip6 out`,
      );
    }
    const possible = isOff ? { ...network, list: withoutIpv6(network.list!, id) } : network;
    const link = await linkFor(world, state, record, { network: possible, ifname, options });
    const attachments = [...record.attachments, link.attached];
    // Should we be killed, the next command takes it off.
    const begun = writeRecord<ContainerRecord>(world, state, { ...record, attachments, changing: ifname });
    try {
      const linked = await makeLink(world, state, begun, link);
      const { changing: _, ...done } = await moveDefaults(world, state, linked);
      await refreshNames(world, state, [network.name], { id });
      askResolvers(world, containerPaths(state, id).directory, resolversOf(done.attachments));
      const linkedRecord = { ...done, changing: "" };
      if (done.ports.length > 0) writeRecord(world, state, linkedRecord);
      const all = done.attachments;
      return await movePorts(
        world,
        state,
        linkedRecord,
        [record.attachments],
        all,
        ({ changing: __, ...last }) => writeRecord<ContainerRecord>(world, state, last),
      );
    } catch (error) {
      throw explain(await giveUp(world, state, begun, error));
    }
  });
}

async function giveUp(
  world: World,
  state: string,
  begun: ContainerRecord,
  error: unknown,
): Promise<unknown> {
  try {
    const record = readContainer(world, state, begun.id) ?? begun;
    await takeOffChanging(world, state, { ...record, changing: begun.changing! });
    return error;
  } catch (problem) {
    return new RollbackError(error, [messageOf(problem)]);
  }
}

/**
 * Takes a running container off a network.
 * @param isForced one that has ended goes as a whole
 * @returns what is recorded of it now; undefined when it has ended
 */
export async function disconnectNetwork(
  world: World,
  state: string,
  { id, network, isForced }: { readonly id: string; readonly network: string; readonly isForced: boolean },
): Promise<ContainerRecord | undefined> {
  const found = readContainer(world, state, id);
  if (found && isForced && staleness(world, found) !== undefined) {
    await detach(world, state, id);
    return undefined;
  }
  return await change(world, state, id, async (record) => {
    const attached = record.attachments.find((one) => one.network.name === network);
    if (!attached) throw new Error(`container ${id} is not connected to network ${network}`);
    refuseUplink(record);
    const others = record.attachments.filter((one) => one !== attached);
    const going = await movePorts(
      world,
      state,
      record,
      [record.attachments],
      others,
      (moved) => writeRecord<ContainerRecord>(world, state, { ...moved, changing: attached.ifname }),
    );
    return await takeOffChanging(world, state, going);
  });
}

async function change(world: World, state: string, id: string, make: Change): Promise<ContainerRecord> {
  if (!isRoot(world)) {
    throw new Error(
      `Cannot change the networks of container "${id}" without root: an uplink connects it; ` +
        "in a session it can be done: ocinet session exec ocinet network …",
    );
  }
  return await changeContainer(world, state, id, "networks", make);
}

interface Wanted {
  readonly network: Network;
  readonly ifname: string;
  readonly options: EndpointOptions;
}

async function linkFor(
  world: World,
  state: string,
  { id, container }: ContainerRecord,
  { network: { name, list, path }, ifname, options }: Wanted,
): Promise<ServiceLink> {
  const directories = listNetDirectories(world, options.netDirectories ?? []);
  const pathMtu = await defaultMtu(world);
  const { service } = options;
  const chosen = {
    ...{ list: withEndpoint(list!, options), ifname, args: options.mac ? `MAC=${options.mac}` : "" },
    ...(path === undefined ? { builtIn: name as BuiltIn } : { path }),
    ...(options.aliases.length > 0 ? { aliases: options.aliases } : {}),
  };
  const planned = await plannedLink(
    world,
    { state, root: true, directories, pathMtu },
    service ? withService(id, [chosen], service)[0]! : chosen,
    { id, container },
  );
  const gwPriority = options.gwPriority === 0 ? {} : { gwPriority: options.gwPriority };
  return { ...planned, attached: { ...planned.attached, ...gwPriority }, service };
}

/** What is asked of plugins by their configuration (CONVENTIONS.md, "args"). */
function withEndpoint(list: NetworkList, { ip, ip6 }: EndpointOptions): NetworkList {
  const ips = [ip, ip6].filter((one) => one !== undefined);
  if (ips.length === 0) return list;
  const [main, ...others] = list.plugins;
  const args = main!["args"] as { readonly cni?: object } | undefined;
  return { ...list, plugins: [{ ...main!, args: { ...args, cni: { ...args?.cni, ips } } }, ...others] };
}

/** A link by which a container becomes a member of a service. */
type ServiceLink = PlannedLink & { readonly service?: Service | undefined };

/** Makes the link, and all that belongs to it. */
async function makeLink(
  world: World,
  state: string,
  begun: ContainerRecord,
  link: ServiceLink,
): Promise<ContainerRecord> {
  const container = fromHere(world, begun.container);
  const request = { id: begun.id, container, lasting: begun.container };
  const earlier = begun.attachments.flatMap(({ result }) => result ?? []);
  const fold = newFold(world, state);
  const result = await addLink(world, { request, fold }, link, defaultRouteFilter([...earlier]));
  const attachments = begun.attachments.map((one): Attached =>
    one.ifname === link.attached.ifname ? { ...one, result } : one
  );
  const linked = { ...begun, attachments };
  const { rateIn, rateOut } = begun.limits ?? {};
  const rates = {
    ...(rateIn === undefined ? {} : { rateIn }),
    ...(rateOut === undefined ? {} : { rateOut }),
  };
  const steps = newSteps(begun, [
    ...stepsOf(world, link, result, earlier),
    ...guards(request, link, result),
    ...believing(linked, attachments),
    ...planLimits(rates, new Map(), [link.attached]),
    ...nameSteps(world, state, begun, attachments),
    ...(link.service ? serviceSteps(state, begun.id, [{ ...link.attached, result }], link.service) : []),
  ]);
  const next = { ...linked, steps: [...begun.steps, ...steps] };
  const changes = [{ from: begun, to: next }];
  if (fold.planned.length > 0) await flush(fold, { begun: [], blames: false }, changes);
  else await reconcile({ world, state }, changes, prefixesOf(container));
  return next;
}
