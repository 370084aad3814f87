import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import { type Joined, parseAnswer, parseJoined, writeRequest } from "../../wire/overlay/requests.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { addressOf } from "../../net/address.ts";
import { macOfAddress, parseMac } from "../../net/names.ts";
import { setLink } from "../../plan/ip.ts";
import { forbidSpoofing } from "../../plan/nft/bridge.ts";
import { letPass } from "../../plan/nft/endpoint.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { line, type Step, words } from "../../plan/step.ts";
import type { Lease, Lookups } from "../plugin.ts";
import * as bridge from "./bridge.ts";
import { type Conf, parse as parseBridge } from "./bridge_conf.ts";
import { needAddresses } from "./layer3.ts";
import { forward, forwardingSysctls, vethEnds } from "./veth.ts";

/** It reads `MAC`. */
export const readsArgs = true;

/** Reads an overlay configuration, which has only the type and `ipam`. */
export function parse(conf: Fields): Conf {
  const own = Object.fromEntries(
    ["ipam", "dns", "runtimeConfig", "args"].map((key) => [key, conf.raw(key)]),
  );
  return { ...parseBridge(fields(own)), isDefaultGateway: true, ipMasq: true };
}

/** Asks the agent for the network's links on this host. The agent makes them before it answers. */
export function lookups(_conf: Conf, at: Attachment): Lookups {
  return { agent: [joinRequest(at)], sysctls: forwardingSysctls, advertised: true };
}

function joinRequest({ network }: Attachment): string {
  return writeRequest({ do: "join", network });
}

function joinedOf(at: Attachment, { answers }: HostState): Joined {
  return parseJoined(parseAnswer(answers?.get(joinRequest(at)) ?? ""));
}

/** Connects the container to the network's bridge. */
export function link(conf: Conf, at: Attachment, seen: HostState): Plan {
  const joined = joinedOf(at, seen);
  return bridge.link(confOf(conf, joined), at, withBridge(seen, joined));
}

function confOf(conf: Conf, joined: Joined): Conf {
  return {
    ...conf,
    bridge: joined.bridge,
    mtu: joined.mtu,
    ...(joined.internal ? { isDefaultGateway: false, ipMasq: false } : {}),
  };
}

/** Adds the bridge to the host's state: it was made after the links were looked up. */
function withBridge(seen: HostState, { bridge: name, mac, mtu }: Joined): HostState {
  const found: Link = { name, index: 0, mac, mtu, kind: "bridge", up: true };
  return { ...seen, links: new Map([...seen.links, [name, found]]) };
}

/**
 * Gives the container its addresses, and the MAC address derived from them. The next container with that address gets
 * the same MAC address, so neighbours' entries stay correct. The port cannot use other addresses.
 */
export function address(conf: Conf, at: Attachment, lease: Lease, made: Result, seen: HostState): Plan {
  const joined = joinedOf(at, seen);
  const { host } = vethEnds(at);
  const mac = macOf(conf, at, lease);
  const named = bridge.withMac(made, mac);
  const plan = bridge.address(confOf(conf, joined), at, lease, named, withBridge(seen, joined));
  return {
    steps: [
      setLink("container", at.ifname, "address", mac),
      ...pinMac(host.name, mac),
      ...forbidSpoofing(host.name, mac, lease.ips),
      ...letPass({ link: joined.bridge }, lease.ips),
      ...(joined.internal ? [] : forward(lease.ips, seen, made.interfaces[0]!.name)),
      ...plan.steps,
    ],
    result: plan.result,
  };
}

/** The other hosts know the MAC address, which is derived from the address. */
function macOf(conf: Conf, at: Attachment, lease: Lease): string {
  needAddresses(lease);
  const mac = macOfAddress(addressOf(lease.ips[0]!.address));
  const wanted = conf.mac ?? at.args.get("MAC");
  if (wanted === undefined || parseMac(wanted) === mac) return mac;
  throw new CniError(
    "invalidConfig",
    `Cannot use MAC address "${wanted}" on overlay network "${at.network}": that follows from the address, and is ${mac}`,
  );
}

/** Fixes the MAC address to the port: a frame from elsewhere with the same source address does not move it. */
function pinMac(port: string, mac: string): readonly Step[] {
  return [
    setLink("host", port, "type", "bridge_slave", "learning", "off"),
    line(
      "bridge",
      "host",
      { kind: "fdb", mac, link: port },
      words`fdb replace ${mac} dev ${port} master static`,
    ),
  ];
}

/** Looks up the bridge and the port, as `bridge` does. */
export function evidence(conf: Conf, at: Attachment, made: Result): Lookups {
  return bridge.evidence({ ...conf, bridge: made.interfaces[0]?.name ?? "" }, at, made);
}

/** Checks what ADD made. The agent checks what it made itself. */
export function checkDrift(conf: Conf, at: Attachment, made: Result, seen: HostState): string | undefined {
  return bridge.checkDrift({ ...conf, bridge: made.interfaces[0]?.name ?? "" }, at, made, seen);
}

/** Tests for a bridge and a VXLAN link. */
export function kernelProbe(conf: Conf): readonly string[] {
  return [
    ...bridge.kernelProbe(conf),
    "ip link add name try1 type vxlan id 7 dstport 4789 local 127.0.0.1 nolearning",
  ];
}
