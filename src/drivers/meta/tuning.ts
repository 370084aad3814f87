import { CniError } from "../../wire/cni/error.ts";
import { type Fields, fields, parseJson } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import { parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { InsideLink } from "../../plan/inside.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import {
  type Claim,
  claim,
  type Hole,
  type Line,
  line,
  setSysctl,
  type Sysctl,
  words,
} from "../../plan/step.ts";
import type { Lookups } from "../plugin.ts";

interface Conf {
  readonly sysctls: readonly (readonly [string, string])[];
  /** `args.cni.mac` and `runtimeConfig.mac` outweigh the MAC of CNI_ARGS, and that the configuration's. */
  readonly mac?: string;
  readonly ownMac?: string;
  readonly mtu?: number;
  readonly promisc: boolean;
  readonly allmulti?: boolean;
  readonly queueLength?: number;
  readonly dataDir: string;
}

/** What of a link is to be changed, or was there before. */
interface Attributes {
  readonly mac?: string;
  readonly mtu?: number;
  readonly promisc?: boolean;
  readonly allmulti?: boolean;
  readonly queueLength?: number;
}

/** What to say where no plugin came before. */
export const unchained = "Required prevResult missing";

/** For `MAC`. */
export const readsArgs = true;

/** Reads a tuning configuration; what `args.cni` says outweighs it. */
export function parse(conf: Fields): Conf {
  const args = conf.object("args")?.object("cni");
  const number = (key: string, range: { min: number; max: number }) =>
    args?.integer(key, range) ?? conf.integer(key, range);
  return {
    sysctls: Object.entries({ ...texts(conf.raw("sysctl")), ...texts(args?.raw("sysctl")) }),
    mac: readMac(args) ?? readMac(conf.object("runtimeConfig")),
    ownMac: readMac(conf),
    mtu: number("mtu", { min: 0, max: 2 ** 31 - 1 }) || undefined,
    promisc: args?.boolean("promisc") || (conf.boolean("promisc") ?? false),
    allmulti: args?.boolean("allmulti") ?? conf.boolean("allmulti"),
    queueLength: number("txQLen", { min: 0, max: 2 ** 31 - 1 }),
    dataDir: conf.path("dataDir") ?? "/run/cni/tuning",
  };
}

function texts(map: unknown): Readonly<Record<string, string>> {
  if (map === undefined) return {};
  const isMap = typeof map === "object" && map !== null && !Array.isArray(map);
  if (isMap && Object.values(map).every((value) => typeof value === "string")) {
    Object.entries(map as Record<string, string>).forEach(checkValue);
    return map as Record<string, string>;
  }
  throw new CniError(
    "decode",
    'Cannot read "sysctl" of network configuration: it is not an object of strings',
  );
}

/** Lists have tabs between their numbers. */
function checkValue([key, value]: readonly [string, string]): void {
  if (/^[\t -~]*$/.test(value)) return;
  throw new CniError(
    "invalidConfig",
    `Cannot set sysctl ${JSON.stringify(key)} to ${JSON.stringify(value)}: it is not one line of ASCII`,
  );
}

function readMac(from: Fields | undefined): string | undefined {
  const text = from?.string("mac");
  return text === undefined ? undefined : checkMac(text);
}

function checkMac(text: string): string {
  const mac = parseMac(text);
  if (!mac) {
    throw new CniError("invalidConfig", `Cannot use MAC address ${JSON.stringify(text)}: it is not one`);
  }
  return mac;
}

const allowList = "/etc/cni/tuning/allowlist.conf";

/** The list of sysctls that are allowed; and how those are now that are to be changed, and the link if it is there and is. */
export function lookups(conf: Conf, at: Attachment, made?: Result): Lookups {
  const changes = Object.keys(wanted(conf, at)).length > 0;
  const { sysctls } = conf;
  return {
    files: [...(sysctls.length > 0 ? [allowList] : []), ...(changes ? [backupPath(conf, at)] : [])],
    inside: (changes && made !== undefined) || sysctls.length > 0,
    insideSysctls: sysctls.map(([key]) => sysctlPath(key, at.ifname)),
  };
}

function wanted(
  { mac, ownMac, mtu, promisc, allmulti, queueLength }: Conf,
  { args }: Attachment,
): Attributes {
  const given = args.get("MAC");
  return compact({
    mac: mac ?? (given ? checkMac(given) : ownMac),
    mtu,
    promisc: promisc || undefined,
    allmulti,
    queueLength,
  });
}

/** The MAC address that the link gets by a configuration, which may stand after that of the type that makes it. */
export function macSetBy(conf: Fields, at: Attachment): string | undefined {
  return wanted(parse(conf), at).mac;
}

function compact(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

/** Where it is written down how the link was. */
export function backupPath({ dataDir }: Pick<Conf, "dataDir">, { containerId, ifname }: Attachment): string {
  return `${dataDir}/${containerId}_${ifname}.json`;
}

/**
 * Sets sysctls in the container and attributes of its link, which are put back. How the link was is also written down
 * where the reference plugin does it, so that either can undo what the other did; sysctls it leaves.
 */
export function plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  const sysctls = conf.sysctls.map(([key, value]) => [sysctlPath(key, at.ifname), value] as const);
  checkSysctls(conf.sysctls.map(([key]) => key), sysctls.map(([key]) => key), seen.files?.get(allowList));
  const next = wanted(conf, at);
  const before = formerly(conf, at, made, seen);
  const kept = Object.fromEntries(Object.entries(before).filter(([key]) => key in next)) as Attributes;
  const steps = [
    ...sysctls.map(([key, value]) => changeSysctl(key, value, seen)),
    ...(seen.inside?.links.has(at.ifname) ? [backup(conf, at, kept, seen)] : []),
    ...setAttributes(at.ifname, next, kept),
  ];
  return { steps: steps.filter((step) => step !== undefined), result: withMac(made, at.ifname, next.mac) };
}

function sysctlPath(key: string, ifname: string): string {
  const path = key.replaceAll(".", "/").replace("IFNAME", ifname);
  const parts = path.split("/").filter((part) => part !== "");
  if (parts[0] !== "net" || parts.length < 2 || parts.includes("..") || !/^[A-Za-z0-9_.+/-]+$/.test(path)) {
    throw new CniError("internal", `invalid net sysctl key: ${JSON.stringify(path)}`);
  }
  return parts.join("/");
}

/** One that is not there yet is of a link that is only planned, and ends with that. */
function changeSysctl(key: string, value: string, { inside }: HostState): Sysctl {
  const undo = inside?.sysctls?.get(key);
  return setSysctl("container", key, value, undo === undefined ? {} : { undo });
}

function checkSysctls(names: readonly string[], paths: readonly string[], list: string | undefined): void {
  if (new Set(paths).size < paths.length) {
    throw new CniError("internal", "duplicated sysctl keys are not allowed");
  }
  if (list === undefined) return;
  const patterns = list.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const refused = names.find((name) => !patterns.some((pattern) => matches(pattern, name)));
  if (refused !== undefined) {
    throw new CniError(
      "internal",
      `Sysctl ${refused} is not allowed. Only the following sysctls are allowed: [${patterns.join(" ")}]`,
    );
  }
}

function matches(pattern: string, name: string): boolean {
  try {
    return new RegExp(pattern).test(name);
  } catch {
    throw new CniError(
      "internal",
      `Cannot read ${allowList}: ${JSON.stringify(pattern)} is no regular expression`,
    );
  }
}

/** The first sysctl, or attribute of the link, that is no longer as it was set. */
export function checkDrift(conf: Conf, at: Attachment, _made: Result, seen: HostState): string | undefined {
  return lostSysctl(conf, at, seen) ?? lostAttribute(conf, at, seen);
}

/** The kernel separates several values of one by tabs, whatever they were written with. */
function lostSysctl({ sysctls }: Conf, { ifname }: Attachment, { inside }: HostState): string | undefined {
  const plain = (value: string) => value.trim().split(/\s+/).join(" ");
  const now = (key: string) => inside?.sysctls?.get(sysctlPath(key, ifname)) ?? "";
  const changed = sysctls.find(([key, value]) => plain(now(key)) !== plain(value));
  return changed && `sysctl "${changed[0]}" is ${plain(now(changed[0])) || "not there"}, not ${changed[1]}`;
}

function lostAttribute(conf: Conf, at: Attachment, seen: HostState): string | undefined {
  const link = seen.inside?.links.get(at.ifname);
  if (!link) return undefined;
  const now = attributesOf(link);
  const changed = Object.entries(wanted(conf, at)).find(([key, value]) =>
    now[key as keyof Attributes] !== value
  );
  return changed &&
    `interface "${at.ifname}" has ${changed[0]} ${now[changed[0] as keyof Attributes]}, not ${changed[1]}`;
}

function attributesOf({ mac, mtu, promiscuous, allMulticast, queueLength }: InsideLink): Attributes {
  return { mac, mtu, promisc: promiscuous, allmulti: allMulticast, queueLength };
}

/** How the link was: as written down by an earlier ADD, as it is now, or as the plugins before will make it. */
function formerly(conf: Conf, at: Attachment, made: Result, seen: HostState): Attributes {
  const file = seen.files?.get(backupPath(conf, at));
  const link = seen.inside?.links.get(at.ifname);
  const planned = made.interfaces.find(({ name, sandbox }) => name === at.ifname && sandbox !== undefined);
  const fresh = { promisc: false, allmulti: false };
  const now = link ? attributesOf(link) : { ...fresh, mac: parseMac(planned?.mac ?? ""), mtu: planned?.mtu };
  return compact({ ...now, ...(file === undefined ? {} : readBackup(file)) });
}

function readBackup(text: string): Attributes {
  try {
    const saved = fields(parseJson(text, "a backup"), "a backup");
    return compact({
      mac: readMac(saved),
      mtu: saved.integer("mtu"),
      promisc: saved.boolean("promisc"),
      allmulti: saved.boolean("allmulti"),
      queueLength: saved.integer("txQLen"),
    });
  } catch {
    // What cannot be read says nothing of the link, which then tells of itself.
    return {};
  }
}

function backup(conf: Conf, at: Attachment, kept: Attributes, seen: HostState): Claim | undefined {
  if (Object.keys(kept).length === 0) return undefined;
  const path = backupPath(conf, at);
  const { queueLength, ...rest } = kept;
  const text = JSON.stringify({ ...rest, txQLen: queueLength }, null, 1);
  return claim(path, seen.files?.get(path)?.trim() ?? text);
}

function setAttributes(ifname: string, next: Attributes, before: Attributes): readonly Line[] {
  const [run, undo] = [attributeWords(next), attributeWords(before)];
  if (run === "") return [];
  const set = words`link set dev ${ifname}`;
  const id = { kind: "link-setting", link: ifname, name: "attributes" } as const;
  return [line("ip", "container", id, set + run, undo === "" ? {} : { undo: set + undo })];
}

function attributeWords({ mac, mtu, promisc, allmulti, queueLength }: Attributes): string {
  const onOff = (value: boolean | undefined) => value === undefined ? undefined : value ? "on" : "off";
  const pairs: readonly (readonly [string, Hole | undefined])[] = [
    ["address", mac],
    ["promisc", onOff(promisc)],
    ["mtu", mtu],
    ["allmulticast", onOff(allmulti)],
    ["txqueuelen", queueLength],
  ];
  return pairs.map(([word, value]) => value === undefined ? "" : ` ${word} ` + words`${value}`).join("");
}

function withMac(made: Result, ifname: string, mac: string | undefined): Result {
  if (mac === undefined) return made;
  return {
    ...made,
    interfaces: made.interfaces.map((link) => link.name === ifname ? { ...link, mac } : link),
  };
}
