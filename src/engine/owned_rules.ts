import { longestInComment } from "../plan/nft/element.ts";
import { type ListedElement, parseChains, parseElements, showElement } from "../plan/nft/listing.ts";
import { line, type Step } from "../plan/step.ts";
import type { World } from "../plan/world.ts";

/**
 * Elements and chains of our tables that belong to a container, by its id or the names of its links.
 * @param ofLinks only what belongs to these links of it; "alone": or to a link that it shares, such as a macvlan's master
 */
export async function ownedRules(
  world: World,
  id: string,
  links: readonly string[],
  ofLinks: boolean | "alone" = false,
): Promise<readonly Step[]> {
  const tables = await Promise.all(["inet", "bridge"].map(async (family) => {
    const list = ["nft", "--numeric", "list", "table", family, "ocinet"];
    const { stdout } = await world.run(list, { looks: true });
    // A chain can be removed only after the element that jumps to it.
    return [
      ...parseChains(stdout).filter((chain) => links.includes(chain.split("_")[0]!))
        .map((chain) => foundChain(`${family} ocinet`, chain)),
      ...elementsFor(parseElements(stdout), id, links, ofLinks).map((found) => foundElement(family, found)),
    ];
  }));
  return tables.flat();
}

function foundChain(table: string, chain: string): Step {
  const what = `chain ${table} ${chain}`;
  return line("nft", "host", { kind: "chain", table, chain }, `list ${what}`, { undo: `delete ${what}` });
}

function foundElement(family: string, found: ListedElement): Step {
  const set = `${family} ocinet ${found.set}`;
  const what = `element ${set} ${showElement(found)}`;
  const id = { kind: "element", set, key: found.key } as const;
  return line("nft", "host", id, `get ${what}`, { undo: `delete ${what}` });
}

/**
 * The container's elements: those that name it as owner, those with the link and address or the port of such an element,
 * and those with one of its links.
 */
function elementsFor(
  elements: readonly ListedElement[],
  id: string,
  links: readonly string[],
  ofLinks: boolean | "alone",
): readonly ListedElement[] {
  const isOwn = ({ owner = "" }: ListedElement) => {
    const [of, link] = owner.split(" ") as [string, string?];
    const isOf = (one: string) => links.includes(one) || ofLinks === "alone" && !one.startsWith("veth");
    return of === id.slice(0, longestInComment) && (!ofLinks || link !== undefined && isOf(link));
  };
  const own = elements.filter(isOwn);
  const members = own.filter(({ set }) => set.startsWith("members")).map(({ key }) => key);
  const isBesidePort = ({ set, key }: ListedElement) =>
    /^(held|no_loopback)/.test(set) &&
    own.some((one) => one.key === key && /^(ports|ranges)/.test(one.set) && one.set.at(-1) === set.at(-1));
  return elements.filter((one) =>
    isOwn(one) || members.some((member) => one.key === member || one.key.startsWith(`${member} . `)) ||
    isBesidePort(one) ||
    [one.key, one.value ?? ""].some((text) =>
      text.replaceAll('"', "").split(" ").some((word) => links.includes(word.split("_")[0]!))
    )
  );
}
