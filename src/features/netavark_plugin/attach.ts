import type { World } from "../../plan/world.ts";
import { cachedList, readCache } from "../cni_runtime/cache.ts";
import type { RuntimeCall } from "../cni_runtime/call.ts";
import { asCapability } from "../cni_runtime/external_network.ts";
import { addNetwork, delNetwork } from "../cni_runtime/runtime.ts";
import { parseAttachment, parseSubject, statusBlock, type Subject } from "../../wire/netavark/requests.ts";
import { translate } from "./network_list.ts";

/**
 * Puts a container on a network of podman's.
 * @returns netavark's status block
 * @throws Error, and then nothing is left of it
 */
export async function setUp(world: World, state: string, netns: string, json: unknown): Promise<unknown> {
  const attachment = parseAttachment(json);
  const { list, config, ports } = translate(attachment);
  const call = {
    ...callOf(state, attachment, netns),
    ...{ list, config },
    capabilityArgs: ports.length > 0 ? { portMappings: ports.map(asCapability) } : {},
  };
  const result = await addNetwork(world, state, call);
  const { mac, on } = attachment;
  if (mac === undefined || result.interfaces.some((one) => one.mac === mac.toLowerCase())) {
    return statusBlock(attachment, result);
  }
  await delNetwork(world, state, call);
  throw new Error(`Cannot give an interface on network ${on.name} a MAC address: its type has its own`);
}

/** Takes a container off again, as it was put on; one that is off already is no error. @throws Error of what resisted */
export async function tearDown(world: World, state: string, netns: string, json: unknown): Promise<void> {
  const subject = parseSubject(json);
  const call = callOf(state, subject, world.stat(netns) === undefined ? "" : netns);
  const cached = readCache(world, { ...call, list: { name: subject.network } });
  const list = cached && cachedList(cached);
  // What is not kept was never done, or begun and killed: then it is as podman says now.
  const known = list ? { list, config: cached.config } : translate(parseAttachment(json));
  await delNetwork(world, state, { ...call, list: known.list, config: known.config, capabilityArgs: {} });
}

function callOf(
  state: string,
  { containerId, ifname }: Subject,
  netns: string,
): Omit<RuntimeCall, "list" | "config" | "capabilityArgs"> {
  return { containerId, ifname, netns, args: "", path: [], cacheDirectory: state };
}
