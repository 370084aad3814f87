import { parsePublish, type PortMapping } from "../net/port_mapping.ts";
import { containerOptions, type Option, type OptionValues, UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { describeAll, describeContainer, type DescribedPort } from "../features/container/describe.ts";
import { parseForwarding } from "../features/rootless/forwarding.ts";
import { addPorts, removePorts } from "../features/container/live_ports.ts";
import { stateDirectory } from "../engine/state.ts";
import { findId, notAttached } from "./ids.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

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
  words: readonly string[],
  given: OptionValues,
): Promise<Report> {
  const state = stateDirectory(world);
  const [verb, text, ...texts] = inOrder(words);
  const id = findId(world, state, text!);
  const [described] = await describeAll(world, state, [id]);
  if (verb === "ls") {
    if (!described) throw notAttached(world, "list the ports of", id);
    return report(described.ports);
  }
  const ports = texts.flatMap((text) => text.split(",")).flatMap((text) =>
    verb === "rm" ? published(described?.ports ?? [], text) : asTyped(() => parsePublish(text))
  );
  if (ports.length === 0) {
    throw new UsageError(`Cannot do "ocinet port ${verb}": it needs ports, such as 8080:80`);
  }
  const forwarding = asTyped(() => parseForwarding(given));
  const record =
    await (verb === "add"
      ? addPorts(world, state, id, ports, forwarding)
      : removePorts(world, state, id, ports));
  return report(describeContainer(world, record).ports);
}

/**
 * The verb, the container and the ports. A container alone means `ls`, as with docker, and ports before the container are
 * told from it.
 * @throws UsageError for a verb that is none, or without a container
 */
function inOrder(words: readonly string[]): readonly string[] {
  const [verb = "", ...rest] = words;
  if (!["add", "rm", "ls"].includes(verb)) {
    if (words.length === 1) return ["ls", verb];
    throw new UsageError(`Cannot do "ocinet port ${verb}": it is not one of add, rm, ls`);
  }
  if (rest.length === 0) {
    throw new UsageError(
      `Cannot do "ocinet port ${verb}": it needs the id of a container; ocinet ls lists them`,
    );
  }
  if (rest.length > 1 && /^[^/]*\d:\d/.test(rest[0]!)) {
    throw new UsageError(
      `Cannot do "ocinet port ${verb} ${rest.join(" ")}": the container comes first, then its ports`,
    );
  }
  return words;
}

/** What `port rm` means: a mapping, or the host's port of one. */
function published(ports: readonly DescribedPort[], text: string): readonly PortMapping[] {
  const [, hostPort, protocol] = /^(\d+)(?:\/([a-z]+))?$/.exec(text) ?? [];
  if (hostPort === undefined) return asTyped(() => parsePublish(text));
  const found = ports.filter((port) =>
    port.hostPort === Number(hostPort) && port.protocol === (protocol ?? port.protocol)
  );
  if (found.length === 0) {
    const all = ports.map(({ mapping }) => mapping).join(", ");
    throw new Error(`Cannot take away port ${text}: it is not published${all ? `; these are: ${all}` : ""}`);
  }
  return found.flatMap(({ mapping }) => parsePublish(mapping));
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
