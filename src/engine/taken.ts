import { elementsIn, portOnAll } from "../plan/nft.ts";
import { type ListedElement, parseElements } from "../plan/nft_listing.ts";
import type { Line } from "../plan/step.ts";
import type { World } from "../plan/world.ts";

/** An element that keeps another one out, and whose it is: its comment. */
export interface Holder {
  readonly set: string;
  readonly key: string;
  readonly id: string;
  /** The container's link on the host. */
  readonly link?: string;
}

/** The element that keeps a line from adding its own; undefined where there is none, or it does not say whose it is. */
export async function holderOf(
  world: World,
  prefix: readonly string[],
  line: Line,
): Promise<Holder | undefined> {
  const candidates = elementsIn([line]).flatMap((element) => [element, portOnAll(element) ?? []]).flat();
  for (const { set, key } of candidates) {
    const argv = [...prefix, "nft", "get", "element", ...set.split(" "), `{ ${key} }`];
    const { stdout } = await world.run(argv, { looks: true });
    const [found] = parseElements(stdout);
    const holder = found && holderIn(tableOfSet(set), found);
    if (holder) return { ...holder, key };
  }
  return undefined;
}

/** Whose a listed element is; undefined for one that does not say. @param table e.g. "inet ocinet" */
export function holderIn(table: string, { set, key, owner }: ListedElement): Holder | undefined {
  const [id, link] = owner?.split(" ") ?? [];
  if (id === undefined) return undefined;
  return { set: `${table} ${set}`, key, id, ...(link === undefined ? {} : { link }) };
}

function tableOfSet(set: string): string {
  return set.slice(0, set.lastIndexOf(" "));
}

/**
 * Takes the element away if its container's link has gone: a veth ends with the namespace at its other end, and a port that
 * is left leads nowhere.
 * @returns whether it did
 */
export async function freeAbandoned(
  world: World,
  prefix: readonly string[],
  { set, key, link }: Holder,
): Promise<boolean> {
  if (link === undefined) return false;
  const look = await world.run([...prefix, "ip", "link", "show", "dev", link], { looks: true });
  if (look.code === 0 || !look.stderr.includes("does not exist")) return false;
  const { code } = await world.run([...prefix, "nft", "delete", "element", ...set.split(" "), `{ ${key} }`]);
  return code === 0;
}
