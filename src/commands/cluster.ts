import {
  clusterStatus,
  createOn,
  forgetHost,
  leaveCluster,
  needAgent,
  openStore,
  rotate,
} from "../features/overlay/cluster.ts";
import { listNetworks, removeNetwork } from "../features/overlay/networks.ts";
import { drain as drainMember, type Drained, memberIds } from "../features/container/drain.ts";
import { stateDirectory } from "../engine/state.ts";
import { findId } from "./ids.ts";
import { messageOf } from "../wire/cni/error.ts";
import type { World } from "../plan/world.ts";
import { type Option, type OptionValues, UsageError } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";

/** What `cluster create` can be told. */
export const createOptions: readonly Option[] = [
  {
    ...{ name: "subnet", value: "CIDR", many: true, annotation: false },
    text: "addresses of its containers, one of each family at most (default: a free one of 10.201.0.0/16)",
  },
  {
    ...{ name: "mtu", value: "BYTES", many: false, annotation: false },
    text: "MTU of its containers (default: what the smallest underlay leaves)",
  },
];

/** What `cluster create` can be told without a value. */
export const createFlags = {
  internal: "it leads nowhere but to its own containers and their hosts",
  encrypted: "between hosts it goes through WireGuard alone",
  multicast: "multicast and broadcast reach containers on other hosts",
};

/** Says what the cluster is like, and what is wrong. */
export async function status(world: World): Promise<Report> {
  const seen = await clusterStatus(world);
  const { agent, etcd, hosts, networks, drained, problems } = seen;
  const lines = [
    `host       ${seen.host}, ${
      "problem" in agent ? "no agent" : agent.inCluster ? "in the cluster" : "not in the cluster"
    }`,
    ...etcd.map(({ endpoint, version }) => `etcd       ${endpoint} ${version ?? "does not answer"}`),
    ...hosts.map(({ name, underlay, mtu }) => `peer       ${name} ${underlay}, MTU ${mtu}`),
    ...networks.map(({ name, vni, subnets, addresses, hosts, encrypted, multicast }) =>
      `network    ${name} ${subnets.join(" ")}, VNI ${vni}, ${addresses} addresses${
        encrypted ? ", encrypted" : ""
      }${multicast ? ", multicast" : ""}, on ${hosts.join(" ") || "no host"}`
    ),
    ...drained.map(({ network, service, host, id }) =>
      `drained    ${id} on ${host}, of service ${service} on ${network}`
    ),
    ...problems.map((problem) => `problem    ${problem}`),
  ];
  return { text: `${lines.join("\n")}\n`, json: seen, code: problems.length > 0 ? 1 : 0 };
}

/** @throws UsageError for what is no MTU */
export function readMtu(name: string, size: string | undefined): { readonly mtu?: number } {
  if (size === undefined) return {};
  if (/^[0-9]{2,5}$/.test(size) && Number(size) >= 68 && Number(size) <= 65535) return { mtu: Number(size) };
  throw new UsageError(
    `Cannot create network "${name}" with MTU "${size}": it is no number from 68 to 65535`,
  );
}

/** Makes a network. */
export async function create(
  world: World,
  name: string,
  given: OptionValues,
  flags: ReadonlySet<string>,
): Promise<Report> {
  const [internal, encrypted] = [flags.has("internal"), flags.has("encrypted")];
  const network = await createOn(world, {
    ...{ name, internal, encrypted, subnets: given.get("subnet") ?? [] },
    multicast: flags.has("multicast"),
    ...readMtu(name, given.get("mtu")?.at(-1)),
  });
  return { text: `${name}: ${network.subnets.join(" ")}, VNI ${network.vni}\n`, json: network };
}

/** Removes networks. */
export async function remove(world: World, names: readonly string[]): Promise<Report> {
  for (const name of names) await removeNetwork(openStore(world), name);
  return { text: "", json: names };
}

/** Lists networks. */
export async function networks(world: World): Promise<Report> {
  const all = await listNetworks(openStore(world));
  const text = all.map(({ name, subnets, vni }) => `${name} ${subnets.join(" ")} ${vni}\n`).join("");
  return { text, json: all };
}

/** Makes a new key of this host's. */
export async function rotateKey(world: World): Promise<Report> {
  const key = await rotate(world);
  return { text: `${key}\n`, json: { key } };
}

/** Takes this host out of the cluster. */
export async function leave(world: World, force: boolean): Promise<Report> {
  await leaveCluster(world, force);
  return { text: "", json: {} };
}

/** What `cluster drain` and `undrain` can be told. */
export const drainOptions: readonly Option[] = [{
  ...{ name: "net", value: "NETWORK", many: false, annotation: false },
  text: "only on this network (default: on all)",
}];

/** @param words ids of containers, unless it is all members of this host */
export async function drain(
  world: World,
  words: readonly string[],
  { given, flags }: { readonly given: OptionValues; readonly flags: ReadonlySet<string> },
  isDrained: boolean,
): Promise<Report> {
  if (flags.has("all") === words.length > 0) {
    const verb = `ocinet cluster ${isDrained ? "" : "un"}drain`;
    throw new UsageError(`Cannot do "${verb}": it takes either ids of containers or --all`);
  }
  await needAgent(world);
  const [state, network] = [stateDirectory(world), given.get("net")?.at(-1)];
  const ids = flags.has("all")
    ? memberIds(world, state, network)
    : words.map((word) => findId(world, state, word));
  const [done, failed]: [Drained[], string[]] = [[], []];
  for (const id of ids) {
    await drainMember(world, state, id, { network, isDrained })
      .then((members) => done.push(...members), (error) => failed.push(messageOf(error)));
  }
  if (failed.length > 0) throw new Error(failed.join("; "));
  return {
    text: done.map(({ id, network, service }) => `${id} ${service} on ${network}\n`).join(""),
    json: done,
  };
}

/** Gives back the addresses of a host that is gone for good. */
export async function forget(world: World, name: string): Promise<Report> {
  const count = await forgetHost(openStore(world), name);
  return { text: `${count} addresses given back\n`, json: { addresses: count } };
}
