import { family } from "../net/address.ts";
import type { World } from "../plan/world.ts";
import { oneLine } from "../wire/cni/output.ts";
import { describeAll, type Description } from "../features/container/describe.ts";
import { joinPorts } from "../features/container/show_ports.ts";
import { containerIds } from "../engine/record.ts";
import { describeInside } from "../features/session/session.ts";
import { stateDirectory } from "../engine/state.ts";
import { isRoot } from "../engine/user.ts";
import { type Report, tableText } from "./report.ts";

/** Lists the containers that are attached, and those whose state was left behind. @param quiet their ids alone */
export async function list(world: World, quiet = false): Promise<Report> {
  const state = stateDirectory(world);
  const own = await describeAll(world, state, containerIds(world, state));
  const all = [...own, ...describeInside(world, state)];
  const text = quiet ? all.map(({ id }) => `${oneLine(id)}\n`).join("") : containersText(all);
  return { json: all, text, ...noteOfRoot(world, all, "ls") };
}

/** A user who looks for root's containers should not take an empty answer for one. */
export function noteOfRoot(world: World, found: readonly unknown[], command: string): Pick<Report, "note"> {
  const isElsewhere = found.length === 0 && !isRoot(world) && world.stat("/run/ocinet") !== undefined;
  return isElsewhere ? { note: `none of yours; sudo ocinet ${command} shows those of root` } : {};
}

/** A table of containers. */
export function containersText(containers: readonly Description[]): string {
  const rows = containers.map(row);
  return rows.every(([, , , , reason]) => reason === "")
    ? tableText(["ID", "STATE", "NETWORKS", "PORTS"], rows)
    : tableText(["ID", "STATE", "NETWORKS", "PORTS", "REASON"], rows);
}

/** An id of 64 digits, as podman makes them, by its beginning, which every command takes. */
export function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}

function row({ id, state, reason = "", networks, ports }: Description): readonly string[] {
  const joined = networks.flatMap(({ name, ips }) =>
    ips.length === 0 ? name : ips.map((ip) => `${name}:ip${family(ip)}=${ip.split("/")[0]}`)
  );
  return [shortId(id), state, joined.join(", "), joinPorts(ports).join(", "), reason];
}
