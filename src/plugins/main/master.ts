import { CniError } from "../../cni/error.ts";
import type { Fields } from "../../cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Link, Seen } from "../../plan/seen.ts";
import { type Step, words } from "../../plan/step.ts";
import type { Sight } from "../plugin.ts";
import { arrive, interimName } from "./arrival.ts";

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
export function sightOfMaster({ master, linkInContainer }: Parent): Sight {
  if (linkInContainer) return {};
  return master === undefined ? { defaultMaster: true } : { links: [master] };
}

/** The master as it was seen; undefined when it is in the container. @throws CniError when there is none */
export function findMaster({ master, linkInContainer }: Parent, seen: Seen): Link | undefined {
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

/** Makes a link on a master, and has it arrive in the container under its final name. */
export function addOnMaster(child: Child, at: Attachment): readonly Step[] {
  const { parent, master, type } = child;
  if (!master) return [addInContainer(parent.master, nameAndSize(at.ifname, child) + type, at.ifname)];
  const run = words`link add link ${master.name}` + nameAndSize(interimName(at), child) +
    words` netns ${at.netns}` + type;
  return [{ tool: "ip", on: "host", run }, ...arrive(at)];
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
  const step = { tool: "exec", on: "container", undo: ["ip", "link", "del", "dev", ifname] } as const;
  if (master !== undefined) {
    return { ...step, run: [...words`ip link add link ${master}`.split(" "), ...options] };
  }
  const shows = `ip link add link "$the_default_routes" ${options.join(" ")}`;
  return { ...step, run: ["sh", "-c", onDefaultMaster, "sh", ...options], shows };
}

/** The names that such a link may have when its sysctls are set. */
export function namesOf({ linkInContainer }: Parent, at: Attachment): readonly string[] {
  return linkInContainer ? [at.ifname] : [interimName(at), at.ifname];
}
