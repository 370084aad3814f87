import type { World } from "../plan/world.ts";
import { stateDirectory } from "../engine/state.ts";
import { readContainer } from "../engine/record.ts";
import { targetsNamed } from "../features/trace/named.ts";
import type { Hop, Target } from "../features/trace/seen.ts";
import { parseTarget } from "../features/trace/target.ts";
import { trace as traceWay } from "../features/trace/trace.ts";
import { findId } from "./ids.ts";
import { type Report, tableText } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** Says of all on the way from a container to a target whether it is right; the exit status is 1 where something is not. */
export async function trace(world: World, text: string, to: string | undefined): Promise<Report> {
  const state = stateDirectory(world);
  const target = asTyped(() => parseTarget(to));
  const from = findId(world, state, text);
  const hops: Hop[] = [];
  for (const known of meant(world, state, from, target)) {
    for (const hop of await traceWay(world, state, from, known)) {
      // What several ways have in common is told once.
      if (!hops.some((one) => JSON.stringify(one) === JSON.stringify(hop))) hops.push(hop);
    }
  }
  return reportOf(hops);
}

/** A container by its id; what is none may be a name on the networks of who asks. */
function meant(world: World, state: string, from: string, target: Target): readonly Target[] {
  if (target.kind !== "container") return [target];
  const id = findId(world, state, target.id);
  if (readContainer(world, state, id)) return [{ ...target, id }];
  const named = targetsNamed(world, state, from, target.id);
  return named.length > 0 ? named : [{ ...target, id }];
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
  NAME           the containers with this name on a network of CONTAINER: a host name, alias or service
  :PORT[/udp]    a published port of CONTAINER, as other hosts see it
trace compares the kernel's state with ocinet's records. It changes nothing, and sends nothing.
`;
