import type { Result } from "../../wire/cni/result.ts";
import { formatHosts, type Hosts, parseHostsEntries } from "../../net/hosts.ts";
import { parseAddress } from "../../net/address.ts";
import { formatResolvConf, noServer, type ResolvConf } from "../../net/resolv_conf.ts";
import type { OptionValues } from "../../wire/oci/options.ts";
import { exec, type Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { isHostsOwn, reachableNames, resolvConf, serversIn, tellOfLost } from "../../engine/name_servers.ts";
import { findTarget, mountFiles, type Rootfs, type Target } from "./file_mounts.ts";
import { askResolvers } from "./asked_resolvers.ts";
import { fromHost, toldFile } from "./host_names.ts";

/** What is wanted of the files that tell a container about names. */
export interface Files {
  /** `network` takes what a network's plugins say, or else what `namesUnasked` does. */
  readonly resolv: "network" | "host" | "none" | ResolvConf;
  readonly hosts?: Hosts;
  readonly hostname?: string;
  /** Names of other containers are going to be in its hosts file. */
  readonly named?: true;
  /** Resolvers that it is to ask in place of whom it would ask: they ask those. */
  readonly resolvers?: readonly string[];
}

/** Reads the options, by rkt's rules (run.go). @throws Error in rkt's words */
export function parseFiles(given: OptionValues): Files {
  const hostname = given.get("hostname")?.at(-1);
  if (hostname !== undefined && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(hostname)) {
    throw new Error(
      `Cannot use host name ${
        JSON.stringify(hostname)
      }: it is not one of up to 64 letters, digits, "-" and "."`,
    );
  }
  const entries = given.get("hosts-entry");
  return {
    resolv: parseDns(given),
    ...(entries === undefined ? {} : { hosts: parseHostsEntries(entries) }),
    ...(hostname === undefined ? {} : { hostname }),
  };
}

/** With more names in the hosts file; the host's own is left as it is. */
export function withNames(files: Files, addresses: ReadonlyMap<string, readonly string[]>): Files {
  if (files.hosts === "host" || addresses.size === 0) return files;
  const hosts = new Map(files.hosts ?? []);
  for (const [name, all] of addresses) {
    for (const address of all) hosts.set(address, [...hosts.get(address) ?? [], name]);
  }
  return { ...files, hosts };
}

function parseDns(given: OptionValues): Files["resolv"] {
  const servers = (given.get("dns") ?? []).flatMap((value) => value.split(","));
  const [search, options, domain] = ["dns-search", "dns-opt", "dns-domain"].map((name) =>
    given.get(name) ?? []
  );
  const special = servers.find((server) => server === "host" || server === "none");
  if (special) {
    if (servers.length > 1) throw new Error(`no other --dns options allowed when --dns=${special} is passed`);
    if (search!.length + options!.length + domain!.length > 0) {
      throw new Error(`Cannot call --dns-opt, --dns-search, or --dns-domain with --dns=${special}`);
    }
    return special as "host" | "none";
  }
  if (servers.length + search!.length + options!.length + domain!.length === 0) return "network";
  for (const server of servers) {
    if (!parseAddress(server)) throw new Error(`Invalid IP passed to --dns: ${JSON.stringify(server)}`);
  }
  const bad = [...search!, ...options!, ...domain!].find((word) => !/^[A-Za-z0-9_.:-]+$/.test(word));
  if (bad !== undefined) {
    throw new Error(`Cannot write ${JSON.stringify(bad)} into resolv.conf: it is not one plain word`);
  }
  return {
    nameservers: servers,
    search: search!,
    options: options!,
    ...(domain!.length > 0 ? { domain: domain![0]! } : {}),
  };
}

interface Mounted {
  readonly name: "resolv.conf" | "hosts" | "hostname";
  /** The text of a file of ours, or the host's file as it is. */
  readonly content: { readonly text: string } | { readonly path: string };
  /** It was asked for by name: it has to work. */
  readonly asked: boolean;
}

/**
 * What a container is told about names if neither its options nor its networks say anything: whom the host asks, where a
 * network leads out, as Docker does. A command sees the host's file anyway, which may name the host's loopback.
 */
export function namesUnasked(
  world: World,
  rootfs: Rootfs | undefined,
  results: readonly Result[],
): ResolvConf | undefined {
  const hasWayOut = results.some(({ routes }) => routes.some(({ dst }) => /^(0\.0\.0\.0|::)\/0$/.test(dst)));
  if (!rootfs || !hasWayOut) return undefined;
  // Where the file names none, libc asks 127.0.0.1.
  const servers = serversIn(world, resolvConf);
  const isRight = rootfs.path === "" && servers.length > 0 && !servers.some(isHostsOwn);
  const names = isRight ? {} : reachableNames(world);
  // Only where the host names no other server: else those are tried next, or given.
  if (rootfs.path === "" && !isRight && !names.nameservers) {
    const own = servers.join(", ");
    const why = `the host's name servers (${own}) are on its own loopback, to which there is no way`;
    tellOfLost(world, own ? why : noServer);
  }
  return names.nameservers ? names : undefined;
}

/**
 * Writes the files into the container's state directory, and gives the steps that mount them over its own. The root
 * file system itself is never written into: where it lacks a file, there is nothing to mount over.
 * @param found what is said about names where no option says it, and by whom
 * @throws Error when a file that was asked for cannot be mounted
 */
export function provideFiles(
  world: World,
  directory: string,
  files: Files,
  found: { readonly from: string; readonly dns: ResolvConf } | undefined,
  rootfs: Rootfs | undefined,
): readonly Step[] {
  const own = files.named && rootfs?.path === "" ? world.read("/etc/hosts") : undefined;
  const wanted = [resolvFile(files, found), ...hostFiles(files, own)].filter((file) => file !== undefined);
  if (rootfs === undefined) {
    const asked = wanted.find(({ asked }) => asked);
    if (asked) {
      throw new Error(
        `Cannot provide /etc/${asked.name}: only a container's hook knows its root file system`,
      );
    }
    return [];
  }
  const mounts = wanted.flatMap((file) => {
    const target = targetOf(world, rootfs, file);
    if (!target) return [];
    const { name, content } = file;
    if ("path" in content) return [{ source: content.path, readOnly: true, target }];
    world.makeDirectory(directory);
    world.write(`${directory}/${name}`, content.text, 0o644);
    if (name === "resolv.conf") {
      if (!file.asked && found?.from === fromHost) world.write(toldFile(directory), content.text);
      if (files.resolvers?.length) askResolvers(world, directory, files.resolvers);
    }
    return [{ source: `${directory}/${name}`, readOnly: false, target }];
  });
  return [
    ...(mounts.length > 0 ? [mountFiles(world, rootfs, mounts)] : []),
    ...(files.hostname === undefined ? [] : [setHostname(world, rootfs, files.hostname)]),
  ];
}

function resolvFile(
  { resolv, resolvers }: Files,
  found: { readonly from: string; readonly dns: ResolvConf } | undefined,
): Mounted | undefined {
  if (resolv === "none") return undefined;
  if (resolv === "host") return { name: "resolv.conf", content: { path: "/etc/resolv.conf" }, asked: true };
  if (resolv !== "network") {
    return { name: "resolv.conf", content: { text: formatResolvConf(resolv, "") }, asked: true };
  }
  if (!found && !resolvers?.length) return undefined;
  const text = formatResolvConf(found?.dns ?? {}, found ? ` from ${found.from}` : "");
  return { name: "resolv.conf", content: { text }, asked: false };
}

/** @param own the file that the container sees as it is, if it is to go on with that */
function hostFiles({ hosts, hostname, named }: Files, own?: string): readonly Mounted[] {
  const name: readonly Mounted[] = hostname === undefined
    ? []
    : [{ name: "hostname", content: { text: `${hostname}\n` }, asked: false }];
  if (hosts === "host") return [{ name: "hosts", content: { path: "/etc/hosts" }, asked: true }, ...name];
  if (hosts === undefined && hostname === undefined && !named) return [];
  const isOwn = own !== undefined && hosts === undefined && hostname === undefined;
  const text = isOwn ? own : formatHosts(hosts ?? new Map(), hostname);
  return [{ name: "hosts", content: { text }, asked: hosts !== undefined }, ...name];
}

function targetOf(world: World, rootfs: Rootfs, { name, asked }: Mounted): Target | undefined {
  const target = findTarget(world, rootfs, name);
  if (typeof target !== "string") return target;
  if (!asked) return undefined;
  throw new Error(`Cannot provide /etc/${name} in ${rootfs.path || "/"}: ${target}`);
}

function setHostname(world: World, { pid, enter }: Rootfs, name: string): Step {
  if (world.readLink(`/proc/${pid}/ns/uts`) === world.readLink("/proc/self/ns/uts")) {
    throw new Error(
      `Cannot name the container "${name}": it shares the host's UTS namespace; give it one of its own`,
    );
  }
  return exec("host", "set the host name", {
    run: ["nsenter", ...enter, `--uts=/proc/${pid}/ns/uts`, "hostname", name],
  });
}
