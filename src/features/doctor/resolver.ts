import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { parseMember } from "../../wire/dns/member.ts";
import { resolverSocket } from "../networks/resolver_program.ts";
import { statePath } from "./files.ts";
import { type Check, type Finding, ok, warn } from "./finding.ts";

/** Whether containers that ask the resolver for names are answered. */
export const resolverChecks: readonly Check[] = [{ name: "resolver", look: lookAtResolver }];

/** An address that it serves, as it tells. */
interface Served {
  readonly address: string;
  readonly network: string;
  readonly problem?: string;
}

async function lookAtResolver(world: World): Promise<readonly Finding[]> {
  const [name, state] = ["resolver", statePath(world)];
  const networks = world.list(`${state}/names`).filter((network) => asksResolver(world, state, network));
  if (networks.length === 0) return [];
  const shown = networks.join(", ");
  try {
    const request = JSON.stringify({ execute: "show" });
    const answer = await world.request(resolverSocket(state), request, { looks: true, timeoutSeconds: 5 });
    const { addresses } = (JSON.parse(answer) as { return: { addresses: readonly Served[] } }).return;
    const failed = addresses.find(({ problem }) => problem !== undefined);
    if (!failed) return ok(name, `serves ${shown}`);
    return warn(
      name,
      `cannot serve network ${failed.network}: ${failed.address} port 53: ${failed.problem}`,
      "see which program has the port: ss -lnp 'sport = 53'",
    );
  } catch {
    return warn(
      name,
      `does not run, and the containers of ${shown} find no names`,
      `ocinet repair ${firstOf(world, state, networks[0]!)}`,
    );
  }
}

/** A container on the network: whichever is repaired, the resolver is for all. */
function firstOf(world: World, state: string, network: string): string {
  return world.list(`${state}/names/${network}`).find((file) => !file.startsWith("."))?.split(" ")[0] ?? "ID";
}

function asksResolver(world: World, state: string, network: string): boolean {
  const directory = `${state}/names/${network}`;
  return world.list(directory).some((file) =>
    parseMember(readUndamagedFile(world, `${directory}/${file}`) ?? "")
  );
}
