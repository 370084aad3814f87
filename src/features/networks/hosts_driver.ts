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
    for (const id of members.keys()) writeBlock(world, state, id, { network, lines });
    for (const id of leavers) if (!members.has(id)) writeBlock(world, state, id, { network, lines: [] });
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
function writeBlock(world: World, state: string, id: string, block: Block): void {
  if (identifierProblem(id) !== undefined) return;
  const path = `${containerPaths(state, id).directory}/hosts`;
  const text = world.readStart(path, most);
  if (text === undefined) return;
  const next = withBlock(text, block);
  if (next !== text) world.put(path, next);
}

/** A hosts file in which a network's names are these. */
export function withBlock(text: string, { network, lines }: Block): string {
  const [begin, end] = markers(network);
  // Thousands of lines stand in thousands of files: the text is not taken apart.
  const whole = `\n${text}${text.endsWith("\n") ? "" : "\n"}`;
  const [from, to] = [whole.indexOf(`\n${begin}\n`), whole.indexOf(`\n${end}\n`)];
  const block = lines.length === 0 ? "" : `${begin}\n${lines.join("\n")}\n${end}\n`;
  const next = from < 0 || to < from
    ? whole + block
    : whole.slice(0, from + 1) + block + whole.slice(to + end.length + 2);
  return next.slice(1);
}
