/** An element of a set or map, as `nft list` prints it. */
export interface ListedElement {
  /** The name of its set or map. */
  readonly set: string;
  readonly key: string;
  /** The value of a map's element. */
  readonly value?: string;
  /** Its comment, which names the owner. */
  readonly owner?: string;
}

/** Reads the elements from the output of `nft list table`, `list set` or `list map`. */
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

/** The element without its comment, as in the lines that delete elements. */
export function showElement({ key, value }: Pick<ListedElement, "key" | "value">): string {
  return value === undefined ? `{ ${key} }` : `{ ${key} : ${value} }`;
}

/** Reads the names of chains from the output of `nft list table`. */
export function parseChains(text: string): readonly string[] {
  return Array.from(text.matchAll(/^\tchain (\S+) \{/gm), ([, name]) => name!);
}
