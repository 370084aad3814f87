import { CniError, messageOf } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { isNamed } from "../../plan/inside.ts";
import { exec, line, type Step, words } from "../../plan/step.ts";
import type { Lookups } from "../plugin.ts";
import { interimName, lostKind, moveIn } from "./move_in.ts";

/** On which link to make one for the container. */
export interface Parent {
  /** That of the default route where there is none. */
  readonly master?: string;
  /** The master is in the container. */
  readonly linkInContainer: boolean;
}

/** Reads `master` and `linkInContainer`. */
export function parseParent(conf: Fields): Parent {
  return {
    master: conf.string("master"),
    linkInContainer: conf.boolean("linkInContainer") ?? false,
  };
}

/** The master, unless it is in the container, where we cannot look. */
export function sightOfMaster({ master, linkInContainer }: Parent): Lookups {
  if (linkInContainer) return {};
  return master === undefined ? { defaultMaster: true } : { links: [master] };
}

/** The master as it was seen; undefined when it is in the container. @throws CniError when there is none */
export function findMaster({ master, linkInContainer }: Parent, seen: HostState): Link | undefined {
  if (linkInContainer) return undefined;
  const name = master ?? seen.defaultLink;
  if (name === undefined) throw new CniError("internal", "no default route interface found");
  const link = seen.links.get(name);
  if (!link) throw new CniError("internal", `failed to lookup master "${name}": Link not found`);
  return link;
}

/** @throws CniError for an MTU that the master cannot carry */
export function checkMtu(mtu: number, master: Link | undefined): void {
  if (mtu >= 0 && mtu <= (master?.mtu ?? 65535)) return;
  throw new CniError(
    "internal",
    `invalid MTU ${mtu}, must be [0, master MTU${master ? `(${master.mtu})` : ""}]`,
  );
}

/** A link to make on a master. */
export interface Child {
  readonly parent: Parent;
  /** As `findMaster` gives it. */
  readonly master: Link | undefined;
  readonly mac?: string;
  /** The master's where it is 0. */
  readonly mtu: number;
  /** The end of the line: `type` and what belongs to it. */
  readonly type: string;
}

/** Makes a link on a master, and moves it into the container under its final name. */
export function addOnMaster(child: Child, at: Attachment): readonly Step[] {
  const { parent, master, type } = child;
  if (!master) return [addInContainer(parent.master, nameAndSize(at.ifname, child) + type, at.ifname)];
  const run = words`link add link ${master.name}` + nameAndSize(interimName(at), child) +
    words` netns ${at.netns}` + type;
  return [line("ip", "host", { kind: "link", link: interimName(at) }, run), ...moveIn(at)];
}

function nameAndSize(name: string, { mac, mtu }: Child): string {
  const address = mac === undefined ? "" : words` address ${mac}`;
  return words` name ${name}` + address + (mtu === 0 ? "" : words` mtu ${mtu}`);
}

/** The link of the default route where this runs is the master. */
const onDefaultMaster = 'm=$(for f in -4 -6; do ip $f route show default; done | sed -n "s/.* dev ' +
  '\\([^ ]*\\).*/\\1/p" | head -n 1); [ -n "$m" ] || { echo "no default route interface found" >&2; exit 1; }; ' +
  'exec ip link add link "$m" "$@"';

/** A step of its own, for the link's sysctls must find it made. */
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

/** What CHECK knows of a link on a master. */
interface Expected {
  readonly parent: Parent;
  readonly kind: string;
  /** What `ip` has to show of a link of that kind. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** What is no longer so of a link on a master. */
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

/** For STATUS. @throws CniError code 51: with the master went the links that were on it */
export function needMaster(parent: Parent, seen: HostState): void {
  try {
    findMaster(parent, seen);
  } catch (error) {
    throw new CniError("limitedConnectivity", messageOf(error));
  }
}

/** Whether there can be links of a type, tried in an empty namespace. */
export function tryOnMaster(type: string): readonly string[] {
  return ["ip link add name try0 type veth peer name try1", `ip link add link try0 name try2${type}`];
}
