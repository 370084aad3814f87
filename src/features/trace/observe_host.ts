/** What of the host's own has a say on the way: switches, chains, who has a port, and what is told of names. */
import { family } from "../../net/address.ts";
import { collide } from "../../net/port_mapping.ts";
import { elementsIn } from "../../plan/nft/element.ts";
import { isOfHostPort } from "../../plan/nft/ports.ts";
import { parseElements } from "../../plan/nft/listing.ts";
import type { Step } from "../../plan/step.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { linkExists } from "../../engine/links.ts";
import { livePrefixes } from "../../engine/namespace.ts";
import type { BaseRecord } from "../../engine/record.ts";
import { containerPaths } from "../../engine/state.ts";
import type { Description } from "../container/describe.ts";
import {
  findProcess,
  type Listener,
  listenerTables,
  parseListeners,
  readListeners,
} from "../container/ports.ts";
import { isOfPort } from "./judge_side.ts";
import type { PortEntry, PortSeen, Target } from "./seen.ts";

/** The sysctls that have to be on for what is routed between the links and the world. */
export function readSwitches(
  world: World,
  routed: readonly { readonly link: string; readonly address: string }[],
): ReadonlyMap<string, string> {
  const [four, six] = [4, 6].map((of) => routed.filter(({ address }) => family(address) === of));
  const links = [...new Set(four!.map(({ link }) => link))].filter((link) => linkExists(world, link));
  const keys = [
    ...(four!.length > 0 ? ["net/ipv4/ip_forward"] : []),
    ...links.map((link) => `net/ipv4/conf/${link}/forwarding`),
    ...(six!.length > 0 ? ["net/ipv6/conf/all/forwarding"] : []),
  ];
  return new Map(keys.flatMap((key) => {
    const value = world.read(`/proc/sys/${key}`)?.trim();
    return value === undefined ? [] : [[key, value] as const];
  }));
}

/** Those of our chains that the target's packets come by, and that have no rule: they were flushed. */
export async function readEmptyChains(world: World, { kind }: Target): Promise<readonly string[]> {
  const names = ["forward", "postrouting", ...(kind === "port" ? ["prerouting", "ports_on_all"] : [])];
  const empty = await Promise.all(names.map(async (name) => {
    const argv = ["nft", "list", "chain", "inet", "ocinet", name];
    const { code, stdout } = await world.run(argv, { looks: true });
    const rules = stdout.split("\n").filter((row) =>
      /\S/.test(row) && !/^\s*(table|chain|type|\}|#)/.test(row)
    );
    return code === 0 && stdout.includes(`chain ${name} {`) && rules.length === 0 ? [name] : [];
  }));
  return empty.flat();
}

/** Who has a port of the host's, and who listens behind it. */
export async function readPort(
  world: World,
  { described, record, steps }: {
    readonly described: Description;
    readonly record: BaseRecord;
    readonly steps: readonly Step[];
  },
  { port, protocol }: Extract<Target, { kind: "port" }>,
): Promise<PortSeen> {
  const key = `${protocol} . ${port}`;
  const own = elementsIn(steps).filter((one) =>
    isOfPort(one.set) && isOfHostPort(one.key, { protocol, port }) && !one.key.includes("-")
  );
  const asked = [4, 6].flatMap((of) =>
    ["ports", "ranges"].map((map) => ({ set: `inet ocinet ${map}${of}`, key }))
  );
  const mappings = described.ports.filter((one) => one.hostPort === port && one.protocol === protocol);
  const wanted = mappings.map(({ hostIp }) => ({
    ...{ protocol, hostPort: port, port: 0 },
    ...(hostIp === "" || hostIp === "0.0.0.0" || hostIp === "::" ? {} : { hostIp }),
  }));
  const isUplinks = mappings.some(({ driver }) => !driver.startsWith("nftables"));
  const onHost = isUplinks ? [] : readListeners(world, protocol)
    .filter((one) => wanted.some((mapping) => collide(mapping, one)));
  const inside = described.state === "dead" ? undefined : await readInside(world, record, protocol);
  return {
    entries: (await Promise.all([...own, ...asked].map((one) => readEntry(world, one)))).flat(),
    ...(inside ? { inside } : {}),
    onHost: [...new Set(onHost.map(({ inode }) => findProcess(world, inode)))],
  };
}

async function readEntry(
  world: World,
  { set, key }: { readonly set: string; readonly key: string },
): Promise<readonly PortEntry[]> {
  const stdin = `get element ${set} { ${key} }\n`;
  const { code, stdout } = await world.run(["nft", "-f", "-"], { stdin, looks: true });
  if (code !== 0) return [];
  return parseElements(stdout).map(({ value, owner }) => ({
    set,
    ...(value === undefined ? {} : { value }),
    ...(owner === undefined ? {} : { owner }),
  }));
}

/** The sockets in the container's namespace; undefined where it may not be entered. */
async function readInside(
  world: World,
  { container }: BaseRecord,
  protocol: Extract<Target, { kind: "port" }>["protocol"],
): Promise<readonly Listener[] | undefined> {
  const enter = livePrefixes(world, container).container;
  const tables = listenerTables(protocol).map((table) => `/proc/self/net/${table}`);
  if (enter === undefined || tables.length === 0) return undefined;
  // Without IPv6 one of them is not there.
  const { stdout } = await world.run([...enter, "cat", ...tables], { looks: true });
  return stdout === "" ? undefined : parseListeners(stdout, protocol);
}

/** The name servers that the container was given, as far as it is known without entering its file system. */
export function readNameServers(world: World, state: string, described: Description): readonly string[] {
  const text = readUndamagedFile(world, `${containerPaths(state, described.id).directory}/resolv.conf`) ?? "";
  const told = Array.from(text.matchAll(/^nameserver\s+(\S+)/gm), ([, server]) => server!);
  return told.length > 0 ? told : described.networks.flatMap(({ nameservers }) => nameservers);
}
