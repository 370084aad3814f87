/** How steps of nft are done. */
import { invocation } from "../plan/batch.ts";
import { bridgeTable } from "../plan/nft/bridge.ts";
import { asksResolver, forwards, tableOf } from "../plan/nft/element.ts";
import { type ListedElement, parseElements } from "../plan/nft/listing.ts";
import { mapsOfOthers, takenByOther } from "../plan/nft/ports.ts";
import { baseTable, baseTableWithoutSockets } from "../plan/nft/table.ts";
import { append, type Line, type Step } from "../plan/step.ts";
import { endedBy, type Output, whyFailed, type World } from "../plan/world.ts";
import { StepError, TakenError } from "./step_error.ts";
import { trustSubnets } from "./firewalld.ts";
import { hasFilterChain, passPolicies } from "./forward_policy.ts";
import { freeAbandoned, holderIn, holderOf } from "./taken.ts";

/**
 * Adds elements. If one exists already and its container is gone, it is removed; if another container has it, the step
 * is refused.
 */
export async function applyRules(
  world: World,
  prefix: readonly string[],
  steps: readonly Line[],
  done: Step[],
): Promise<void> {
  for (let freed = 0;; freed++) {
    try {
      const listed = await addRules(world, prefix, steps);
      append(done, steps);
      return await refuseTaken(world, prefix, steps, parseElements(listed));
    } catch (error) {
      if (!(error instanceof StepError) || !error.details.includes("File exists")) throw error;
      const holder = await holderOf(world, prefix, error.step as Line);
      if (!holder) throw error;
      if (freed >= steps.length || !await freeAbandoned(world, prefix, holder)) {
        throw new TakenError(error.step, holder.id);
      }
    }
  }
}

/** Refuses a port that another container has by another map: that no probe tells. */
async function refuseTaken(
  world: World,
  prefix: readonly string[],
  steps: readonly Line[],
  listed: readonly ListedElement[],
): Promise<void> {
  const taken = takenByOther(steps, listed);
  if (!taken) return;
  const holder = holderIn("inet ocinet", taken.by);
  if (!holder || !await freeAbandoned(world, prefix, holder)) {
    throw new TakenError(taken.step, holder?.id ?? "?");
  }
  await refuseTaken(world, prefix, steps, listed.filter((one) => one !== taken.by));
}

/** @returns the listing of others' ports, taken just before the rules were added */
async function addRules(world: World, prefix: readonly string[], steps: readonly Line[]): Promise<string> {
  const attaches = steps[0]!.on === "host" && (forwards(steps) || asksResolver(steps));
  const lists = [
    ...mapsOfOthers(steps).map((map) => `list map ${map}\n`),
    // The rule in FORWARD is checked only on hosts that have such a chain.
    ...(attaches ? ["list chains ip\n", "list chains ip6\n"] : []),
  ];
  const { argv, stdin } = invocation(steps, prefix, "run");
  const first = await world.run(argv, { stdin: lists.join("") + stdin });
  if (first.code === 0) {
    if (attaches) await passFirewalls(world, prefix, steps, hasFilterChain(world, first.stdout));
    return first.stdout;
  }
  const tableGone = steps[0]!.on === "host" && first.stderr.includes("No such file or directory");
  if (!tableGone) throw ruleError(steps, first, lists.length);
  await loadRules(world, steps, prefix);
  return "";
}

/**
 * Has the host's firewalls let pass what ours does: every table can drop.
 * @param filters iptables may have chains
 * @returns what had not let it pass, in a few words each
 */
export async function passFirewalls(
  world: World,
  prefix: readonly string[],
  steps: readonly Step[],
  filters = true,
): Promise<readonly string[]> {
  const chains = [
    ...forwards(steps) ? ["FORWARD"] as const : [],
    ...asksResolver(steps) ? ["INPUT"] as const : [],
  ];
  const put = filters ? await passPolicies(world, prefix, chains) : [];
  const told = prefix.length === 0 ? await trustSubnets(world, steps) : [];
  return [
    ...put.map((chain) => `the rule in ${chain}`),
    ...told.map((subnet) => `firewalld's source ${subnet}`),
  ];
}

/** Adds elements and, if missing, their tables. @throws StepError of the first element that could not be added */
export async function loadRules(
  world: World,
  steps: readonly Line[],
  prefix: readonly string[] = [],
): Promise<void> {
  const { argv, stdin } = invocation(steps, prefix, "run");
  // Before the table: an existing table means that this was done.
  await passFirewalls(world, prefix, steps);
  const bridge = steps.some((step) => tableOf(step) === "bridge ocinet") ? bridgeTable() : "";
  const load = async (table: string) => {
    const loaded = await world.run(argv, { stdin: table + bridge + stdin });
    return { loaded, lines: (table + bridge).split("\n").length - 1 };
  };
  const first = await load(baseTable);
  const isOld = first.loaded.code !== 0 && first.loaded.stderr.includes(" socket ");
  const { loaded, lines } = isOld ? await load(baseTableWithoutSockets) : first;
  if (loaded.code !== 0) throw ruleError(steps, loaded, lines);
}

/** nft names the position of an error: "/dev/stdin:1:40-49: Error: …". */
function ruleError(steps: readonly Line[], output: Output, before: number): Error {
  const ended = endedBy(output);
  if (ended !== undefined) return new StepError(steps[0]!, ended, true);
  const { stderr } = output;
  const line = Number(/^[^:]*:([0-9]+):/.exec(stderr)?.[1] ?? NaN) - 1 - before;
  const what = /Error: (?:Could not process rule: )?(.*)/.exec(stderr)?.[1] ?? whyFailed(output);
  if (line < 0 && what.includes("File exists")) {
    return new Error(
      "Cannot load our nft table: one of another version of ocinet is there; take its containers down, then run ocinet gc",
    );
  }
  return new StepError(steps[line] ?? steps[0]!, what);
}
