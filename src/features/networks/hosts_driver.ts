import { identifierProblem } from "../../net/names.ts";
import { containerPaths } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";
import type { NameDriver, NetworkChange } from "./name_driver.ts";

/** Names in the hosts files that are mounted into containers: no process takes part. */
export const hostsDriver: NameDriver = {
  name: "hosts",
  refusal: () => undefined,
  fileText: ({ addresses, names }) => addresses.map((address) => [address, ...names].join(" ")).join("\n"),
  steps: () => [],
  refresh: (world, state, { network, members, leavers }) => {
    const lines = [...members.values()].flat();
    const replace = replacing({ network, lines });
    for (const id of members.keys()) rewrite(world, state, id, replace);
    const away = replacing({ network, lines: [] });
    for (const id of leavers) if (!members.has(id)) rewrite(world, state, id, away);
    return Promise.resolve();
  },
};

/**
 * Adds the names of a container that joins a network. Its own hosts file gets the names of all members. The files of the others
 * get its lines at their end, and are not read.
 */
export function joinHosts(
  world: World,
  state: string,
  { network, members }: Pick<NetworkChange, "network" | "members">,
  joiner: string,
): void {
  rewrite(world, state, joiner, replacing({ network, lines: [...members.values()].flat() }));
  const [begin, end] = markers(network);
  // A file of a container's may end without a newline.
  const text = `\n${begin}\n${members.get(joiner)?.join("\n")}\n${end}\n`;
  for (const id of members.keys()) if (id !== joiner && isOurs(id)) world.append(hostsFile(state, id), text);
}

/** What a network's names stand between. */
const markers = (network: string) => [`# ocinet: network ${network}`, `# ocinet: end of ${network}`] as const;

/** The most of a hosts file that is read: a container may write what it likes into its own. */
const most = 1 << 20;

interface Block {
  readonly network: string;
  readonly lines: readonly string[];
}

/** What the container itself has written into its file stays. */
function rewrite(world: World, state: string, id: string, replace: (text: string) => string): void {
  if (!isOurs(id)) return;
  const path = hostsFile(state, id);
  const text = world.readStart(path, most);
  if (text === undefined) return;
  const next = replace(text);
  if (next !== text) world.put(path, next);
}

/** Whether it is a container of this host. */
function isOurs(id: string): boolean {
  return identifierProblem(id) === undefined;
}

function hostsFile(state: string, id: string): string {
  return `${containerPaths(state, id).directory}/hosts`;
}

/** A hosts file in which a network's names are these. */
export function withBlock(text: string, block: Block): string {
  return replacing(block)(text);
}

/** Thousands of lines stand in thousands of files: they are put together once, and a file is not taken apart. */
function replacing({ network, lines }: Block): (text: string) => string {
  const [begin, end] = markers(network);
  const block = lines.length === 0 ? "" : `${begin}\n${lines.join("\n")}\n${end}\n`;
  return (text) => {
    const whole = text.endsWith("\n") ? text : `${text}\n`;
    const beginAfter = (at: number) =>
      whole.startsWith(`${begin}\n`, at) ? at : whole.indexOf(`\n${begin}\n`, at) + 1 || -1;
    let [kept, at] = ["", 0];
    for (let from = beginAfter(0), isFirst = true; from >= 0; from = beginAfter(at), isFirst = false) {
      const to = whole.indexOf(`\n${end}\n`, from);
      if (to < 0) break;
      const between = whole.slice(at, from);
      // Before what was appended is an empty line.
      kept += isFirst ? between + block : between.replace(/(^|\n)\n$/, "$1");
      at = to + end.length + 2;
    }
    return at === 0 ? whole + block : kept + whole.slice(at);
  };
}
