import { elementsIn } from "../plan/nft/element.ts";
import { portOnAll } from "../plan/nft/ports.ts";
import { type ListedElement, parseElements } from "../plan/nft/listing.ts";
import type { Line } from "../plan/step.ts";
import type { World } from "../plan/world.ts";

/** An element that conflicts, and its owner from its comment. */
export interface Holder {
  readonly set: string;
  readonly key: string;
  readonly id: string;
  /** The owner's link on the host. */
  readonly link?: string;
}

/** The existing element that conflicts with a line; undefined if there is none, or if it names no owner. */
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

/** The owner of a listed element; undefined if it names none. @param table e.g. "inet ocinet" */
export function holderIn(table: string, { set, key, owner }: ListedElement): Holder | undefined {
  const [id, link] = owner?.split(" ") ?? [];
  if (id === undefined) return undefined;
  return { set: `${table} ${set}`, key, id, ...(link === undefined ? {} : { link }) };
}

function tableOfSet(set: string): string {
  return set.slice(0, set.lastIndexOf(" "));
}

/**
 * Removes the element if its container's link is gone. A veth ends with the namespace of its peer, so the port leads
 * nowhere.
 * @returns whether it was removed
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
