import { family } from "../net/address.ts";
import type { World } from "../plan/world.ts";
import { describeAll, type Description } from "../features/container/describe.ts";
import { containerIds } from "../engine/record.ts";
import { describeInside } from "../features/session/session.ts";
import { stateDirectory } from "../engine/state.ts";
import { type Report, tableText } from "./report.ts";

/** Lists the containers that are attached, and those whose state was left behind. */
export function list(world: World): Promise<Report> {
  const state = stateDirectory(world);
  const all = [...describeAll(world, state, containerIds(world, state)), ...describeInside(world, state)];
  return Promise.resolve({ json: all, text: containersText(all) });
}

/** A table of containers. */
export function containersText(containers: readonly Description[]): string {
  return tableText(["ID", "STATE", "NETWORKS", "PORTS"], containers.map(row));
}

function row({ id, state, networks, ports }: Description): readonly string[] {
  const joined = networks.flatMap(({ name, ips }) =>
    ips.map((ip) => `${name}:ip${family(ip)}=${ip.split("/")[0]}`)
  );
  return [id, state, joined.join(", "), ports.map(({ mapping }) => mapping).join(", ")];
}
