import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Result } from "../../wire/cni/result.ts";
import { family } from "../../net/address.ts";
import { linkNameProblem } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside, type Inside, type InsideRoute } from "../../plan/inside.ts";
import { addAddress, setLink } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { type Exec, exec, type Line, line, type Step, words } from "../../plan/step.ts";
import type { Lookups } from "../plugin.ts";
import { attributeOf, copyRoutes, mainRoutes, missingRoutes } from "./copied_route.ts";
import { ownIps } from "../../wire/cni/previous_result.ts";

interface Conf {
  readonly name: string;
  /** Absent: the lowest table that no VRF of the container uses. */
  readonly table?: number;
}

/** Results before 0.3.0 name no links. The reference has the same limit. */
export const since = "0.3.1";

/** Reads a VRF configuration. */
export function parse(conf: Fields): Conf {
  const name = conf.string("vrfname");
  if (name === undefined || linkNameProblem(name)) {
    throw new CniError("internal", "configuration is expected to have a valid vrf name");
  }
  return { name, table: conf.integer("table", { min: 0, max: 2 ** 32 - 1 }) || undefined };
}

/** Looks up the container's VRFs and the interface's routes. */
export function lookups(): Lookups {
  return { inside: true };
}

/** Adds the interface to a VRF in the container. The first interface creates the VRF, the last one removes it. */
export function plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  const inside = seen.inside ?? emptyInside;
  const found = findVrf(conf, inside);
  const master = inside.links.get(at.ifname)?.master;
  if (master !== undefined && master !== conf.name) {
    throw new CniError("internal", `interface ${at.ifname} has already a master set: ${master}`);
  }
  const table = found ?? conf.table ?? lowestFree(inside);
  return {
    steps: [
      removeWhenEmpty(conf.name),
      ...(found === undefined ? [addVrf(conf.name, table)] : []),
      setLink("container", conf.name, "up"),
      enslave(at.ifname, conf.name),
      ...restore(at.ifname, made, inside.routes, table),
    ],
    result: made,
  };
}

/** Removes the interface from its VRF, and removes the VRF if it is empty then. */
export function unrecorded({ name }: Conf, at: Attachment, _made: Result, seen: HostState): readonly Step[] {
  const { links } = seen.inside ?? emptyInside;
  if (links.get(name)?.kind !== "vrf") return [];
  return [
    removeWhenEmpty(name),
    ...(links.get(at.ifname)?.master === name ? [enslave(at.ifname, name)] : []),
  ];
}

/** Checks that the interface is in its VRF, and that the VRF uses the right table. */
export function checkDrift(
  { name, table }: Conf,
  at: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  const links = seen.inside?.links;
  if (links?.get(at.ifname)?.master !== name) return `interface ${at.ifname} is not in VRF ${name}`;
  const found = links.get(name)?.table;
  if (table === undefined || found === table) return undefined;
  return `VRF ${name} leads to table ${found}, not ${table}`;
}

/** Tests for the link's kind. */
export function kernelProbe(): readonly string[] {
  return ["ip link add name try0 type vrf table 1"];
}

function findVrf({ name, table }: Conf, { links }: Inside): number | undefined {
  const found = links.get(name);
  if (!found) return undefined;
  if (found.kind !== "vrf" || found.table === undefined) {
    throw new CniError("internal", `link ${name} already exists and is not a VRF`);
  }
  if (table !== undefined && table !== found.table) {
    throw new CniError(
      "internal",
      `VRF ${name} already exist with different routing table ${found.table}`,
    );
  }
  return found.table;
}

function lowestFree({ links }: Inside): number {
  const taken = new Set([...links.values()].map(({ table }) => table));
  for (let table = 1;; table++) if (!taken.has(table)) return table;
}

function addVrf(name: string, table: number): Line {
  const id = { kind: "link", link: name, type: "vrf", table } as const;
  return line("ip", "container", id, words`link add name ${name} type vrf table ${table}`);
}

function enslave(ifname: string, vrf: string): Line {
  const line = setLink("container", ifname, "master", vrf);
  return { ...line, undo: words`link set dev ${ifname} nomaster` };
}

/** Removes the VRF if it is empty. Another interface may have joined it since. */
function removeWhenEmpty(name: string): Exec {
  const script = 'set -- "$1" $(ip -o link show master "$1"); [ $# -gt 1 ] || ip link del dev "$1"';
  return exec("container", `remove VRF ${name} when it is empty`, {
    undo: ["sh", "-c", script, "sh", words`${name}`],
  });
}

/**
 * Restores addresses and routes. The kernel sets a link down to add it to a VRF, which removes its IPv6 addresses and
 * most of its routes. If another interface of the VRF has a route to the same destination, that one stays: the first
 * default route wins.
 */
function restore(
  ifname: string,
  made: Result,
  routes: readonly InsideRoute[],
  table: number,
): readonly Line[] {
  const isTaken = ({ dst }: InsideRoute) =>
    routes.some((route) => route.dst === dst && route.table === table && route.dev !== ifname);
  const there = mainRoutes(routes, ifname);
  const own = [...there, ...missingRoutes(made, ifname, there)].filter((route) => !isTaken(route));
  const isFar = (route: InsideRoute) => attributeOf(route, "via") !== undefined;
  return [
    ...ownIps(made, ifname).filter(({ address }) => family(address) === 6)
      .map(({ address }) => addAddress("container", address, ifname)),
    ...copyRoutes([...own.filter((route) => !isFar(route)), ...own.filter(isFar)], table),
  ];
}
