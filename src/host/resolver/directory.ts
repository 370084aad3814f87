import type * as Fs from "node:fs";
import { identifierProblem } from "../../net/names.ts";
import { checkFile } from "../../plan/files.ts";
import { parseMember } from "../../wire/dns/member.ts";
import type { Asker } from "../../wire/dns/decide.ts";
import { type Zone, type ZoneMember, zoneOf } from "../../wire/dns/zone.ts";
import { builtin } from "../node/builtin.ts";

/** What the state directory tells of the members of networks. */
export interface Directory {
  /** Looks at all networks. @returns those that have members */
  readAll(): readonly Zone[];
  /** A member of a network, by its address there, and all networks of its container's, that one first. */
  find(
    network: string,
    address: string,
    isThere: Asker["isThere"],
  ): { readonly member: ZoneMember; readonly zones: readonly Zone[] } | undefined;
}

interface Read {
  readonly zone: Zone;
  /** What tells a change of the directory. */
  readonly stamp: string;
  /** It may have changed once more in the same tick of the kernel's clock. */
  readonly isFresh: boolean;
}

/** Milliseconds: more than a tick of the clock by which the kernel stamps files. */
const tick = 50;

/**
 * Reads the members' files below `names`. A file is made and removed whole, which changes the time of its directory: so a
 * question costs one look at that, however many networks there are, and no change is missed.
 */
export function directoryAt(path: string): Directory {
  const known = new Map<string, Read>();
  const networksById = new Map<string, Set<string>>();
  const forget = (network: string) => {
    for (const { id } of membersOf(known.get(network)?.zone)) {
      networksById.get(id)?.delete(network);
    }
    known.delete(network);
  };
  const read = (network: string): Zone | undefined => {
    const [old, now] = [known.get(network), stampOf(`${path}/${network}`)];
    if (old && now && old.stamp === now.stamp && !old.isFresh) return old.zone;
    forget(network);
    const zone = now && readZone(path, network);
    if (!now || !zone || zone.members.size === 0) return undefined;
    known.set(network, { zone, ...now });
    for (const { id } of membersOf(zone)) {
      networksById.set(id, (networksById.get(id) ?? new Set()).add(network));
    }
    return zone;
  };
  return {
    readAll: () => {
      const networks = list(path).filter((name) => identifierProblem(name) === undefined).sort();
      [...known.keys()].filter((name) => !networks.includes(name)).forEach(forget);
      for (const [id, of] of networksById) if (of.size === 0) networksById.delete(id);
      return networks.flatMap((network) => read(network) ?? []);
    },
    find: (network, address, isThere) => {
      const zone = read(network);
      const all = zone?.members.get(address);
      const member = all?.find(isThere) ?? all?.[0];
      if (!zone || !member) return undefined;
      const others = [...networksById.get(member.id) ?? []].filter((name) => name !== network).sort();
      return { member, zones: [zone, ...others.flatMap((name) => read(name) ?? [])] };
    },
  };
}

function membersOf(zone: Zone | undefined): readonly ZoneMember[] {
  return [...zone?.members.values() ?? []].flat();
}

function readZone(path: string, network: string): Zone {
  const files = list(`${path}/${network}`).filter((name) => /^[^. ][^ ]* [^ ]+$/.test(name)).sort();
  return zoneOf(
    network,
    files.flatMap((name) => {
      const member = parseMember(readText(`${path}/${network}/${name}`));
      return member ? [[name.split(" ")[0]!, member] as const] : [];
    }),
  );
}

function stampOf(path: string): Pick<Read, "stamp" | "isFresh"> | undefined {
  try {
    const { mtimeMs, ino } = builtin<typeof Fs>("node:fs").statSync(path);
    return { stamp: `${mtimeMs} ${ino}`, isFresh: Date.now() - mtimeMs < tick };
  } catch {
    return undefined;
  }
}

function list(path: string): readonly string[] {
  try {
    return builtin<typeof Fs>("node:fs").readdirSync(path);
  } catch {
    return [];
  }
}

/** The text of a file, or nothing for one that has just gone, or is no regular one. */
export function readText(path: string): string {
  try {
    const fs = builtin<typeof Fs>("node:fs");
    return fs.readFileSync(checkFile(path, fs.statSync(path)), "utf8");
  } catch {
    return "";
  }
}
