import { CniError, messageOf } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { isNamed } from "../../plan/inside.ts";
import { ownAlias, setLink } from "../../plan/ip.ts";
import { macFrom } from "../../net/names.ts";
import { exec, line, type Step, words } from "../../plan/step.ts";
import type { Lookups } from "../plugin.ts";
import { interimName, keepInterimName, lostKind, moveIn } from "./move_in.ts";

/** The link below a container's link. */
export interface Parent {
  /** The name of the master. Absent: the link of the default route. */
  readonly master?: string;
  /** The master is in the container's namespace. */
  readonly linkInContainer: boolean;
  /** The master is made if it is not there: a VLAN of another link (`eth0.50`), or a dummy link. */
  readonly makes?: "vlan" | "dummy";
}

/** Reads `master` and `linkInContainer`. */
export function parseParent(conf: Fields): Parent {
  const makes = conf.string("makeMaster");
  return {
    master: conf.string("master"),
    linkInContainer: conf.boolean("linkInContainer") ?? false,
    ...(makes === "vlan" || makes === "dummy" ? { makes } : {}),
  };
}

/** Looks up the master, unless it is in the container, which is not looked into. */
export function sightOfMaster({ master, linkInContainer, makes }: Parent): Lookups {
  if (linkInContainer) return {};
  if (master === undefined) return { defaultMaster: true };
  return { links: makes === "vlan" ? [master, vlanOf(master).on] : [master] };
}

/** The master; undefined if it is in the container. @throws CniError if it does not exist */
export function findMaster({ master, linkInContainer, makes }: Parent, seen: HostState): Link | undefined {
  if (linkInContainer) return undefined;
  const name = master ?? seen.defaultLink;
  if (name === undefined) throw new CniError("internal", "no default route interface found");
  const link = seen.links.get(name);
  if (link) return link;
  const base = makes === "vlan" ? seen.links.get(vlanOf(name).on) : undefined;
  if (base) return { ...base, name, kind: "vlan" };
  if (makes === "dummy") return { name, index: 0, mac: macFrom(name), mtu: 1500, kind: "dummy", up: false };
  const missing = makes === "vlan" ? vlanOf(name).on : name;
  throw new CniError("internal", `failed to lookup master "${missing}": Link not found`);
}

/** The link and the VLAN of a name such as `eth0.50`. */
function vlanOf(name: string): { readonly on: string; readonly id: string } {
  const at = name.lastIndexOf(".");
  return { on: name.slice(0, at), id: name.slice(at + 1) };
}

/**
 * Makes the master, marked as ours, if it is not there. It stays until the network goes, or `gc` finds that no container
 * needs it.
 */
export function makeMaster({ master: name, makes }: Parent, seen: HostState): readonly Step[] {
  if (makes === undefined || name === undefined || seen.links.has(name)) return [];
  const { on, id } = vlanOf(name);
  const run = makes === "vlan"
    ? words`link add link ${on} name ${name} type vlan id ${id}`
    : words`link add name ${name} type dummy`;
  return [
    line("ip", "host", { kind: "link", link: name, type: makes }, run, { onError: "ignore-exists" }),
    setLink("host", name, "alias", ownAlias),
    setLink("host", name, "up"),
  ];
}

/** @throws CniError if the MTU is larger than the master's */
export function checkMtu(mtu: number, master: Link | undefined): void {
  if (mtu >= 0 && mtu <= (master?.mtu ?? 65535)) return;
  throw new CniError(
    "internal",
    `invalid MTU ${mtu}, must be [0, master MTU${master ? `(${master.mtu})` : ""}]`,
  );
}

/** A link to be made on a master. */
export interface Child {
  readonly parent: Parent;
  /** The value of `findMaster`. */
  readonly master: Link | undefined;
  readonly mac?: string;
  /** 0 means the master's MTU. */
  readonly mtu: number;
  /** The end of the `ip` line: `type` and its options. */
  readonly type: string;
  /** The id of a VLAN. */
  readonly vlan?: number;
}

/** Makes a link on a master and moves it into the container under its final name. */
export function addOnMaster(child: Child, at: Attachment): readonly Step[] {
  const { parent, master, type, vlan } = child;
  if (!master) {
    return [
      addInContainer(parent.master, nameAndSize(at.ifname, child) + type, at.ifname),
      { ...keepInterimName(at), undo: words`link del dev ${interimName(at)}` },
    ];
  }
  const run = words`link add link ${master.name}` + nameAndSize(interimName(at), child) +
    words` netns ${at.netns}` + type;
  const of = vlan === undefined ? {} : { vlan: { id: vlan, of: master.name } };
  return [line("ip", "host", { kind: "link", link: interimName(at), ...of }, run), ...moveIn(at)];
}

function nameAndSize(name: string, { mac, mtu }: Child): string {
  const address = mac === undefined ? "" : words` address ${mac}`;
  return words` name ${name}` + address + (mtu === 0 ? "" : words` mtu ${mtu}`);
}

/** Finds the link of the default route in the current namespace and uses it as master. */
const onDefaultMaster = 'm=$(for f in -4 -6; do ip $f route show default; done | sed -n "s/.* dev ' +
  '\\([^ ]*\\).*/\\1/p" | head -n 1); [ -n "$m" ] || { echo "no default route interface found" >&2; exit 1; }; ' +
  'exec ip link add link "$m" "$@"';

/** A separate step, so that the link exists before its sysctls are set. */
function addInContainer(master: string | undefined, rest: string, ifname: string): Step {
  const options = rest.trim().split(" ");
  const made = { id: { kind: "link", link: ifname }, undo: ["ip", "link", "del", "dev", ifname] } as const;
  if (master !== undefined) {
    const run = [...words`ip link add link ${master}`.split(" "), ...options];
    return exec("container", "link", { ...made, run });
  }
  const shows = `ip link add link "$the_default_routes" ${options.join(" ")}`;
  return exec("container", "link", { ...made, run: ["sh", "-c", onDefaultMaster, "sh", ...options], shows });
}

/** The names that such a link may have when its sysctls are set. */
export function namesOf({ linkInContainer }: Parent, at: Attachment): readonly string[] {
  return linkInContainer ? [at.ifname] : [interimName(at), at.ifname];
}

/** The properties of a link on a master that CHECK compares. */
interface Expected {
  readonly parent: Parent;
  readonly kind: string;
  /** The attributes that `ip` must report for the link's kind. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** The first property that a link on a master has lost. */
export function lostOnMaster(
  { parent, kind, details }: Expected,
  { ifname }: Attachment,
  seen: HostState,
): string | undefined {
  const problem = lostKind(kind, details, ifname, seen);
  if (problem !== undefined || parent.master === undefined) return problem;
  const link = seen.inside?.links.get(ifname);
  const isOnIt = parent.linkInContainer
    ? isNamed(seen.inside, link?.link, parent.master)
    : link?.linkIndex === findMaster(parent, seen)?.index;
  return isOnIt ? undefined : `container interface "${ifname}" is not on its master "${parent.master}"`;
}

/** Checks the master for STATUS. @throws CniError code 51 if it does not exist; then the links on it are gone too */
export function needMaster(parent: Parent, seen: HostState): void {
  try {
    findMaster(parent, seen);
  } catch (error) {
    throw new CniError("limitedConnectivity", messageOf(error));
  }
}

/** Commands that test in an empty namespace whether the kernel supports a link type. */
export function tryOnMaster(type: string): readonly string[] {
  return ["ip link add name try0 type veth peer name try1", `ip link add link try0 name try2${type}`];
}
