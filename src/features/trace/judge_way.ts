/** Whether a container's route to the target is the recorded one, and whether its next hop answers. */
import { addressOf, contains, family, lengthOf } from "../../net/address.ts";
import { emptyInside, insideAfter } from "../../plan/inside.ts";
import type { Hop, Side, Way } from "./seen.ts";
import { hop, isUp, mend, within } from "./judge_side.ts";

/** A route as it is recorded. */
interface Recorded {
  readonly dev: string;
  readonly via?: string;
}

/**
 * The container's route to an address, and the neighbour that it leads by.
 * @param isNeeded whether it is wrong that no network leads there
 */
export function wayHops(side: Side, address: string, isNeeded = true): readonly Hop[] {
  const { way, described: { id } } = side;
  if (way === undefined) return [];
  const expected = recordedRoutes(side, address);
  if (expected.length === 0 && !isNeeded) return [];
  // Without its interface a route is gone; another hop tells of that.
  if (expected.length > 0 && expected.every(({ dev }) => !isUp(side, dev))) return [];
  const ok = way.problem === undefined && (way.type === "local" || isExpected(expected, way));
  const told = hop("route", `${address} from ${id}`, {
    found: tellWay(way),
    expected: expected.length === 0 ? "a route" : [...new Set(expected.map(tellWay))].join(", or "),
    ok,
    remedy: remedyFor(side, address, expected.length > 0),
  });
  return ok ? [told, ...neighbourHops(side, address)] : [told];
}

function isExpected(expected: readonly Recorded[], way: Way): boolean {
  return expected.length === 0 || expected.some(({ dev, via }) => dev === way.dev && via === way.via);
}

/** A route in words. */
export function tellWay({ dev, via, type, problem }: Way): string {
  if (problem !== undefined) return problem;
  if (type === "local") return "an address of its own";
  return `by ${dev}${via === undefined ? "" : ` through ${via}`}`;
}

function remedyFor(side: Side, address: string, isRecorded: boolean): string {
  const { described: { id }, missing, way } = side;
  if (!isRecorded) return `connect it to a network that leads there: ocinet network connect NETWORK ${id}`;
  const isGone = missing.some(({ on, id }) => on === "container" && ["route", "address"].includes(id.kind));
  if (isGone || way?.problem !== undefined) return mend(side);
  return `a route that ocinet did not make leads elsewhere; find it by ${
    within(side, `ip route get ${address}`)
  }, and delete it by ip route del`;
}

/** Of those that contain an address the ones with the longest prefix; tables of their own have others. */
function recordedRoutes({ steps }: Side, address: string): readonly Recorded[] {
  const all = insideAfter(emptyInside, steps).routes.filter(({ dst }) =>
    family(addressOf(dst)) === family(address) && contains(dst, address)
  );
  const longest = Math.max(...all.filter(({ table }) => table === undefined).map(({ dst }) => lengthOf(dst)));
  return all.filter(({ dst, table }) => table !== undefined || lengthOf(dst) === longest)
    .map(({ dev, attributes }) => {
      const via = attributes.find(([word]) => word === "via")?.[1];
      return { dev, ...(via === undefined ? {} : { via }) };
    });
}

/** A neighbour without an entry is asked with the first packet; one that did not answer has an entry that says so. */
function neighbourHops(side: Side, address: string): readonly Hop[] {
  const { way, neighbour, described: { id } } = side;
  if (way?.dev === undefined || way.type === "local") return [];
  const next = way.via ?? address;
  const ok = neighbour !== "FAILED" && neighbour !== "INCOMPLETE";
  return [hop("neighbour", `${next} on ${way.dev} in ${id}`, {
    found: neighbour === undefined ? "not asked yet" : ok ? neighbour.toLowerCase() : "does not answer",
    expected: "answers",
    ok,
    remedy: `find out why ${next} does not answer; where the next hops are right, ` +
      `${within(side, `ip neighbour flush dev ${way.dev}`)} has it asked again`,
  })];
}
