/** Elements of sets and maps: what is added for a container, and taken away. */
import { addressOf, family } from "../../net/address.ts";
import type { ElementResource } from "../resource.ts";
import { type Line, line, type Step, words } from "../step.ts";

/** A set of our table, for the family of an address. */
export function setOf(set: string, address: string): string {
  return `inet ocinet ${set}${family(address)}`;
}

/** The key of an address on a link. */
export function memberKey(link: string, address: string): string {
  return words`"${link}" . ${addressOf(address)}`;
}

/** What an element has beside its key. */
interface ElementMore {
  /** What a map leads to. */
  readonly value?: string;
  /** There can be but one: adding it a second time fails, and the first one's comment says who has it. */
  readonly owner?: string;
}

/**
 * An element of a set or map, which is named by the table's family, the table and its own name. nft 1.0.6 has no
 * `destroy`: adding and deleting in one transaction takes the element away whether or not it is there.
 */
export function element(set: string, key: string, { value, owner }: ElementMore = {}): Line {
  const target = value === undefined ? "" : ` : ${value}`;
  const whole = `${set} { ${key}${target} }`;
  const id = { kind: "element", set, key, ...(value === undefined ? {} : { value }) } as const;
  const run = owner === undefined
    ? `add element ${whole}`
    : `create element ${set} { ${key} comment "${comment(owner)}"${target} }`;
  return line("nft", "host", id, run, { undo: `add element ${whole}\ndelete element ${whole}` });
}

/** An element, and others that come and go with it: in one transaction, so that they go only where it is still there. */
export function withElements(main: Line, others: readonly Line[]): Line {
  return {
    ...main,
    run: [main, ...others].map(({ run }) => run).join("; "),
    undo: [main, ...others].map(({ undo }) => undo).join("\n"),
  };
}

/** A line of ours as it is to be done another time, when its element may be there. */
export function again(line: Line): Line {
  return { ...line, run: line.run.replaceAll("create element ", "add element ") };
}

/** How much of a container's id an element says: nft takes at most 128 bytes of a comment. */
export const longestInComment = 100;

function comment(owner: string): string {
  return owner.split(" ").map((word) => words`${word.slice(0, longestInComment)}`).join(" ");
}

/** The elements that steps add. */
export function elementsIn(steps: readonly Step[]): readonly ElementResource[] {
  return steps.flatMap(({ tool, id }) => tool === "nft" && id.kind === "element" ? [id] : []);
}

/** The table that a step of nft is in, e.g. "inet ocinet". */
export function tableOf({ id }: Step): string | undefined {
  if (id.kind === "element") return id.set.slice(0, id.set.lastIndexOf(" "));
  return id.kind === "chain" || id.kind === "table" ? id.table : undefined;
}

/** Whether containers of the steps ask a resolver of ours on the host. */
export function asksResolver(steps: readonly Step[]): boolean {
  return elementsIn(steps).some(({ set }) => set.startsWith("inet ocinet resolvers"));
}

/** Whether what the steps let pass has to pass iptables' FORWARD as well. */
export function forwards(steps: readonly Step[]): boolean {
  return elementsIn(steps).some(({ set }) => /^inet ocinet (contained|passed)/.test(set));
}
