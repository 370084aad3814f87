import type * as Fs from "node:fs";
import { identifierProblem } from "../../net/names.ts";
import { checkFile } from "../../plan/files.ts";
import { type Member, parseMember } from "../../wire/dns/member.ts";
import type { Asker } from "../../wire/dns/decide.ts";
import { type Zone, type ZoneMember, zoneOf } from "../../wire/dns/zone.ts";
import { builtin } from "../node/builtin.ts";

/** What the state directory tells of the members of networks. */
export interface Directory {
  /**
   * Looks at all networks.
   * @param changed the id of the only container whose files may have changed; other files that are known are not looked at
   * @returns those that have members
   */
  readAll(changed?: string): readonly Zone[];
  /** Whether a network has files of names that are not a resolver's, but a hosts file's. */
  hasOthers(network: string): boolean;
  /** A member of a network, by its address there, and all networks of its container's, that one first. */
  find(
    network: string,
    address: string,
    isThere: Asker["isThere"],
  ): { readonly member: ZoneMember; readonly zones: readonly Zone[] } | undefined;
}

/** How far what was read of a file or a directory holds. */
interface Stamp {
  /** What tells a change of it. */
  readonly stamp: string;
  /** It may have changed once more in the same tick of the kernel's clock. */
  readonly isFresh: boolean;
}

interface Read extends Stamp {
  readonly zone: Zone;
  /** When it was last looked whether it still holds, in milliseconds of a clock that never goes back. */
  looked: number;
  readonly files: ReadonlyMap<string, MemberFile>;
}

interface MemberFile extends Stamp {
  /** Undefined for what is none of a resolver's. */
  readonly member: Member | undefined;
}

/** Milliseconds: more than a tick of the clock by which the kernel stamps files. */
const tick = 50;
/** Milliseconds for which a look at a directory holds for questions: of those that change it, each says so (`readAll`). */
const lookHolds = 10;

/**
 * Reads the members' files below `names`. A file is made and removed whole, which changes the time of its directory: so a
 * question costs one look at that at most, however many networks there are, and no change is missed. Of a directory that has changed
 * only those files are read again that have changed.
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
  const read = (network: string, changed?: string): Zone | undefined => {
    const [old, now] = [known.get(network), stampOf(`${path}/${network}`)];
    if (old && now && old.stamp === now.stamp && !old.isFresh) {
      old.looked = performance.now();
      return old.zone;
    }
    forget(network);
    if (!now) return undefined;
    const files = readFiles(`${path}/${network}`, old?.files, changed);
    const zone = zoneOf(
      network,
      [...files].flatMap(([name, { member }]) => member ? [[name.split(" ")[0]!, member]] : []),
    );
    if (zone.members.size === 0) return undefined;
    // What was not looked at is looked at the next time.
    const isFresh = now.isFresh || changed !== undefined;
    known.set(network, { ...now, zone, files, isFresh, looked: isFresh ? -lookHolds : performance.now() });
    for (const { id } of membersOf(zone)) {
      networksById.set(id, (networksById.get(id) ?? new Set()).add(network));
    }
    return zone;
  };
  const forQuestion = (network: string) => {
    const old = known.get(network);
    return old && performance.now() - old.looked < lookHolds ? old.zone : read(network);
  };
  return {
    readAll: (changed) => {
      const networks = list(path).filter((name) => identifierProblem(name) === undefined).sort();
      [...known.keys()].filter((name) => !networks.includes(name)).forEach(forget);
      for (const [id, of] of networksById) if (of.size === 0) networksById.delete(id);
      return networks.flatMap((network) => read(network, changed) ?? []);
    },
    hasOthers: (network) => [...known.get(network)?.files.values() ?? []].some(({ member }) => !member),
    find: (network, address, isThere) => {
      const zone = forQuestion(network);
      const all = zone?.members.get(address);
      const member = all?.find(isThere) ?? all?.[0];
      if (!zone || !member) return undefined;
      const others = [...networksById.get(member.id) ?? []].filter((name) => name !== network).sort();
      return { member, zones: [zone, ...others.flatMap((name) => forQuestion(name) ?? [])] };
    },
  };
}

function membersOf(zone: Zone | undefined): readonly ZoneMember[] {
  return [...zone?.members.values() ?? []].flat();
}

function readFiles(
  directory: string,
  known: ReadonlyMap<string, MemberFile> | undefined,
  changed: string | undefined,
): ReadonlyMap<string, MemberFile> {
  const names = list(directory).filter((name) => /^[^. ][^ ]* [^ ]+$/.test(name)).sort();
  return new Map(names.map((name) => {
    const [path, old] = [`${directory}/${name}`, known?.get(name)];
    const holds = old &&
      (changed === undefined
        ? !old.isFresh && stampOf(path)?.stamp === old.stamp
        : !name.startsWith(`${changed} `));
    if (holds) return [name, old];
    const stamp = stampOf(path) ?? { stamp: "", isFresh: true };
    return [name, { ...stamp, member: parseMember(readText(path)) }];
  }));
}

function stampOf(path: string): Stamp | undefined {
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
