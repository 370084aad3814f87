import type { World } from "../plan/world.ts";
import { stateDirectory } from "../engine/state.ts";
import type { Hop } from "../features/trace/seen.ts";
import { parseTarget } from "../features/trace/target.ts";
import { trace as traceWay } from "../features/trace/trace.ts";
import { findId } from "./ids.ts";
import { type Report, tableText } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** Says of all on the way from a container to a target whether it is right; the exit status is 1 where something is not. */
export async function trace(world: World, text: string, to: string | undefined): Promise<Report> {
  const state = stateDirectory(world);
  const target = asTyped(() => parseTarget(to));
  const known = target.kind === "container" ? { ...target, id: findId(world, state, target.id) } : target;
  return reportOf(await traceWay(world, state, findId(world, state, text), known));
}

/** The hops as a person reads them, the remedies below, and what they come to. */
export function reportOf(hops: readonly Hop[]): Report {
  const wrong = hops.filter(({ ok }) => !ok);
  const rows = hops.map(({ layer, at, found, expected, ok }) => [
    ok ? "ok" : "WRONG",
    layer,
    at,
    ok ? found : `${found} (expected: ${expected})`,
  ]);
  const remedies = [...new Set(wrong.map(({ remedy }) => remedy))].map((remedy) => `  -> ${remedy}\n`).join(
    "",
  );
  const summary = wrong.length === 0
    ? "All hops are right.\n"
    : `${wrong.length} of ${hops.length} hops ${wrong.length === 1 ? "is" : "are"} wrong:\n${remedies}`;
  return {
    json: hops,
    text: `${tableText(["", "LAYER", "AT", "FOUND"], rows)}\n${summary}`,
    code: wrong.length === 0 ? 0 : 1,
  };
}

export const traceHelp = `
TARGET is one of
  world          other networks (the default)
  ADDRESS        such as 192.0.2.7
  ID             another container
  :PORT[/udp]    a published port of CONTAINER, as other hosts see it
trace compares the kernel's state with ocinet's records. It changes nothing, and sends nothing.
`;
