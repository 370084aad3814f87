import { identifierProblem } from "../net/names.ts";
import { parsePublish } from "../net/port_mapping.ts";
import { containerOptions, type Option, type OptionValues, UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { describeAll, describeContainer, type DescribedPort } from "../features/container/describe.ts";
import { parseForwarding } from "../features/rootless/forwarding.ts";
import { addPorts, removePorts } from "../features/container/live_ports.ts";
import { askInside } from "../features/session/session.ts";
import { sessionId } from "../features/rootless/host_forwarding.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Report } from "./report.ts";

/** Who forwards what is added. */
export const portOptions: readonly Option[] = containerOptions.filter(({ name }) =>
  ["port-driver", "proxy-protocol"].includes(name)
);

/**
 * Publishes ports of a container that runs, takes them away, or lists them.
 * @param words `add`, `rm` or `ls`, the container's id, and ports as `--publish` has them
 * @throws UsageError for another verb, or one that lacks its ports
 */
export async function port(
  world: World,
  [verb, id, ...texts]: readonly string[],
  given: OptionValues,
): Promise<Report> {
  const state = stateDirectory(world);
  const inner = idInside(id!);
  if (inner !== undefined) {
    const options = [...given].flatMap(([name, values]) => values.map((value) => `--${name}=${value}`));
    const words = ["port", "--json", ...options, verb!, inner, ...texts];
    return report(JSON.parse(await askInside(world, state, words)));
  }
  const problem = identifierProblem(id!);
  if (problem) throw new Error(`Cannot use container ${JSON.stringify(id)}: ${problem}`);
  if (verb === "ls") {
    const [described] = describeAll(world, state, [id!]);
    if (!described) {
      throw new Error(`Cannot list the ports of container "${id}": it is not attached; see ocinet ls`);
    }
    return report(described.ports);
  }
  if (verb !== "add" && verb !== "rm") {
    throw new UsageError(`Cannot do "ocinet port ${verb}": it is not one of add, rm, ls`);
  }
  const ports = texts.flatMap((text) => text.split(",")).flatMap(parsePublish);
  if (ports.length === 0) {
    throw new UsageError(`Cannot do "ocinet port ${verb}": it needs ports, such as 8080:80`);
  }
  const forwarding = parseForwarding(given);
  const record =
    await (verb === "add"
      ? addPorts(world, state, id!, ports, forwarding)
      : removePorts(world, state, id!, ports));
  return report(describeContainer(world, record).ports);
}

/** The id in the session, of what `ocinet ls` shows as session/ID. */
function idInside(id: string): string | undefined {
  return id.startsWith(`${sessionId}/`) ? id.slice(sessionId.length + 1) : undefined;
}

function report(ports: readonly DescribedPort[]): Report {
  return { json: ports, text: ports.map((port) => `${port.mapping} ${port.driver}${loss(port)}\n`).join("") };
}

/** What a driver does not do, or not keep. */
function loss({ keepsClientAddress, onlyFamily, proxyProtocol }: DescribedPort): string {
  if (keepsClientAddress) return onlyFamily ? `, IPv${onlyFamily} only` : "";
  return proxyProtocol
    ? `, the client's address by PROXY protocol ${proxyProtocol}`
    : ", without the client's address";
}
