import { elementsIn } from "../plan/nft/element.ts";
import { portOnAll } from "../plan/nft/ports.ts";
import { type ListedElement, parseElements } from "../plan/nft/listing.ts";
import type { Line, Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";
import { reasonToGo } from "./namespace.ts";
import { livingNamespaces } from "./process.ts";
import { pluginKeys, readPlugin } from "./record.ts";
import { stateDirectory } from "./state.ts";

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
 * Removes the element if its container is gone, so that the port leads nowhere.
 * @returns whether it was removed
 */
export async function freeAbandoned(
  world: World,
  prefix: readonly string[],
  holder: Holder,
): Promise<boolean> {
  const { set, key, link } = holder;
  if (!(link && await isLinkGone(world, prefix, link)) && !isRecordGone(world, holder)) return false;
  const { code } = await world.run([...prefix, "nft", "delete", "element", ...set.split(" "), `{ ${key} }`]);
  return code === 0;
}

/** A veth ends with the namespace of its peer. */
async function isLinkGone(world: World, prefix: readonly string[], link: string): Promise<boolean> {
  const look = await world.run([...prefix, "ip", "link", "show", "dev", link], { looks: true });
  return look.code !== 0 && look.stderr.includes("does not exist");
}

/**
 * A macvlan, among others, has no link on the host, and stands by the one that the host reaches it through, which stays.
 * What is recorded of the element tells whose namespace it leads to.
 */
function isRecordGone(world: World, { id, set, key }: Holder): boolean {
  const state = stateDirectory(world);
  const isOf = (step: Step) => step.id.kind === "element" && step.id.set === set && step.id.key === key;
  const records = pluginKeys(world, state, id).flatMap((one) => readPlugin(world, state, one) ?? [])
    .filter(({ steps }) => steps.some(isOf));
  if (records.length === 0) return false;
  const living = livingNamespaces(world);
  return records.every((record) => reasonToGo(world, record, living) !== undefined);
}
