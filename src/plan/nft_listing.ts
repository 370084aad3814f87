/** An element as `nft list` prints it. */
export interface ListedElement {
  /** The name of its set or map. */
  readonly set: string;
  readonly key: string;
  /** What a map leads to. */
  readonly value?: string;
  /** Its comment: whose it is. */
  readonly owner?: string;
}

/** The elements in what `nft list table`, `list set` or `list map` prints. */
export function parseElements(text: string): readonly ListedElement[] {
  const [first, ...rest] = text.split("elements = {");
  let before = first!;
  return rest.flatMap((part) => {
    const set = before.match(/(?:set|map) \S+ \{/g)?.at(-1)?.split(" ")[1] ?? "";
    before = part;
    return part.slice(0, part.indexOf("}")).split(",").map((element) => parseElement(set, element));
  });
}

function parseElement(set: string, text: string): ListedElement {
  const owner = / comment "([^"]*)"/.exec(text)?.[1];
  const [key, value] = text.replace(/ comment "[^"]*"/, "").trim().replace(/\s+/g, " ").split(" : ");
  return {
    ...{ set, key: key! },
    ...(value === undefined ? {} : { value }),
    ...(owner === undefined ? {} : { owner }),
  };
}

/** The element without its comment, as the lines that undo elements have it. */
export function showElement({ key, value }: Pick<ListedElement, "key" | "value">): string {
  return value === undefined ? `{ ${key} }` : `{ ${key} : ${value} }`;
}

/** The names of chains in what `nft list table` prints. */
export function parseChains(text: string): readonly string[] {
  return Array.from(text.matchAll(/^\tchain (\S+) \{/gm), ([, name]) => name!);
}
