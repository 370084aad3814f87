import { identifierProblem } from "../../net/names.ts";
import { containerPaths } from "../../engine/state.ts";
import type { World } from "../../plan/world.ts";
import type { NameDriver } from "./name_driver.ts";

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
  if (identifierProblem(id) !== undefined) return;
  const path = `${containerPaths(state, id).directory}/hosts`;
  const text = world.readStart(path, most);
  if (text === undefined) return;
  const next = replace(text);
  if (next !== text) world.put(path, next);
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
    const from = whole.startsWith(`${begin}\n`) ? 0 : whole.indexOf(`\n${begin}\n`) + 1;
    const to = from === 0 && !whole.startsWith(begin) ? -1 : whole.indexOf(`\n${end}\n`, from);
    return to < 0 ? whole + block : whole.slice(0, from) + block + whole.slice(to + end.length + 2);
  };
}
