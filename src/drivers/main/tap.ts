import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Dns, Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { setLink } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { isNamed } from "../../plan/inside.ts";
import { exec, line, type Step, words } from "../../plan/step.ts";
import type { Lease, Lookups } from "../plugin.ts";
import {
  addressed,
  announce,
  type BringUp,
  bringUp,
  chooseMac,
  configure,
  interimName,
  lostKind,
  moveIn,
  parseBringUp,
  parseOwnDns,
  parseWantedMac,
  resultOf,
  type WantedMac,
} from "./move_in.ts";

interface Conf {
  readonly multiQueue: boolean;
  /** 0 means the kernel's default. */
  readonly mtu: number;
  readonly mac: WantedMac;
  /** The numbers of the user and the group that may open the device. Without both, only root may. */
  readonly owner?: number;
  readonly group?: number;
  readonly selinuxContext?: string;
  /** The bridge in the container to which it is added as a port. */
  readonly bridge?: string;
  readonly bringUp: BringUp;
  /** It replaces IPAM's DNS settings. */
  readonly dns?: Dns;
}

/** It reads `MAC`. */
export const readsArgs = true;

/** Its links have no end on the host. */
export const apart = "alone";

/** Reads a tap configuration. */
export function parse(conf: Fields): Conf {
  return {
    multiQueue: conf.boolean("multiQueue") ?? false,
    mtu: conf.integer("mtu", { min: 0, max: 65535 }) ?? 0,
    mac: parseWantedMac(conf),
    owner: conf.integer("owner", { min: 0, max: 2 ** 32 - 1 }),
    group: conf.integer("group", { min: 0, max: 2 ** 32 - 1 }),
    selinuxContext: parseContext(conf.string("selinuxContext")),
    bridge: conf.string("bridge"),
    bringUp: parseBringUp(conf),
    dns: parseOwnDns(conf),
  };
}

function parseContext(context: string | undefined): string | undefined {
  if (context === undefined || /^[A-Za-z0-9_][!-~]*$/.test(context)) return context;
  throw new CniError(
    "invalidConfig",
    `Cannot use SELinux context ${JSON.stringify(context)}: it is not one plain word`,
  );
}

/** Needs no look-ups. */
export function lookups(): Lookups {
  return {};
}

/** Makes the device on the host, because that is where `ip` runs, and moves it into the container. */
export function link(conf: Conf, at: Attachment): Plan {
  const { mtu, bridge } = conf;
  const [interim, mac] = [interimName(at), chooseMac(conf.mac, at)];
  return {
    steps: [
      addTap(interim, conf),
      setLink("host", interim, "address", mac, ...(mtu === 0 ? [] : ["mtu", mtu])),
      setLink("host", interim, "netns", at.netns),
      ...(conf.bringUp.layer3 ? announce(interim, [4]) : []),
      ...moveIn(at),
      ...(bridge === undefined ? [] : [setLink("container", at.ifname, "master", bridge)]),
      ...bringUp(conf.bringUp, at.ifname),
    ],
    result: resultOf(at, mac, conf.dns),
  };
}

function addTap(name: string, conf: Conf): Step {
  const run = words`tuntap add mode tap name ${name}` + flagsOf(conf) + ownersOf(conf);
  const undo = words`link del dev ${name}`;
  const id = { kind: "link", link: name } as const;
  if (conf.selinuxContext === undefined) return line("ip", "host", id, run, { undo });
  return exec("host", "tap", {
    id,
    run: ["runcon", conf.selinuxContext, "ip", ...run.split(" ")],
    undo: ["ip", ...undo.split(" ")],
  });
}

/** The flags of the reference. It has two variants: if both owners are given, frames have headers (vnet_hdr, pi). */
function flagsOf({ multiQueue, owner, group, selinuxContext }: Conf): string {
  const both = owner !== undefined && group !== undefined && selinuxContext === undefined;
  return [["multi_queue", multiQueue], ["vnet_hdr", both], ["pi", both && !multiQueue]]
    .map(([flag, set]) => set ? ` ${flag}` : "").join("");
}

function ownersOf({ owner, group }: Conf): string {
  return (owner === undefined ? "" : words` user ${owner}`) +
    (group === undefined ? "" : words` group ${group}`);
}

/** Adds the addresses. */
export function address({ bringUp, dns }: Conf, at: Attachment, lease: Lease, made: Result): Plan {
  return {
    steps: configure(lease, { made, bringUp, names: [interimName(at), at.ifname] }),
    result: addressed(made, lease, dns),
  };
}

/** Checks its kind, its queues, and that it is a port of the bridge. */
export function checkDrift(
  conf: Conf,
  { ifname }: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  const { multiQueue, bridge } = conf;
  const problem = lostKind("tun", { type: "tap", multi_queue: multiQueue }, ifname, seen);
  if (problem !== undefined || bridge === undefined) return problem;
  return isNamed(seen.inside, seen.inside?.links.get(ifname)?.master, bridge)
    ? undefined
    : `container interface "${ifname}" is no port of bridge "${bridge}"`;
}

/** Tests for the link's kind. */
export function kernelProbe(): readonly string[] {
  return ["ip tuntap add mode tap name try0"];
}
