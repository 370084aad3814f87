import { emptyResult, type Interface, type Result } from "../../wire/cni/result.ts";
import { addressOf } from "../../net/address.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import { firewalldSigns } from "../../plan/firewalld.ts";
import { dropFrom, type Going } from "../../plan/iptables.ts";
import { dropCommented } from "../../plan/nft/comment.ts";
import { removeLinkAtUndo } from "../../plan/ip.ts";
import type { Step } from "../../plan/step.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { type Leftovers, leftovers } from "../../drivers/reference_leftovers.ts";
import { hostLinks } from "../../wire/cni/previous_result.ts";
import { accepted, type Context, prefixesFor, previousResult } from "./call.ts";
import { otherRecords } from "../../engine/record.ts";
import { askLinks, linkExists } from "../../engine/links.ts";
import { undoAll } from "../../engine/rollback.ts";

/**
 * Takes away what an ADD by the reference's plugin of this type left outside the container. It is for a DEL of whose ADD
 * nothing is written down: only then, and only if the configuration asks for rules, does a process look for them.
 * @throws Error with all that resisted
 */
export async function removeLeftovers(context: Context): Promise<void> {
  const { world, call, conf, at } = context;
  const before = accepted(() => previousResult(context)) ?? emptyResult;
  const made = { ...before, ips: before.ips.filter(({ address }) => !isAnothers(context, address)) };
  // A configuration that cannot be used has made nothing.
  const left: Leftovers = await leftovers(call.type, { conf, at, made }).catch(() => ({}));
  if (left.file !== undefined) world.remove(left.file);
  const ends = await Promise.allSettled([
    removeLinks(context, left.link === undefined ? [] : [left.link], hostEnds(call.type, before)),
    ...(left.iptables ? ["iptables", "ip6tables"] : []).map((program) =>
      restore(world, program, left.iptables!)
    ),
    ...(left.nft ?? []).map((rules) => deleteRules(world, rules)),
    giveBackSources(context, left.firewalld ?? []),
  ]);
  const problems = ends.flatMap((end) => end.status === "rejected" ? [(end.reason as Error).message] : []);
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/** Whether host-local has given the address to another container by now, whose rules are the same. */
function isAnothers({ world, key: { network, id } }: Context, address: string): boolean {
  const lease = readUndamagedFile(world, `/var/lib/cni/networks/${network}/${addressOf(address)}`);
  return lease !== undefined && lease.split(/\s/)[0] !== id;
}

/** Whether it is what another interface of the container has by ours. */
function isRecorded({ world, state, key }: Context, link: string): boolean {
  return otherRecords(world, state, key).some(({ steps }) =>
    steps.some(({ on, id }) => on === "host" && id.kind === "link" && id.link === link)
  );
}

/** The host's ends of the container's veths, which stay while it is not known in which namespace their other ends are. */
function hostEnds(type: string, { interfaces }: Result): readonly Interface[] {
  if (type !== "bridge" && type !== "ptp") return [];
  const names = hostLinks({ ...emptyResult, interfaces }).filter((name) => /^veth[0-9a-f]{8}$/.test(name));
  return interfaces.filter(({ name, mac, sandbox }) => names.includes(name) && mac && sandbox === undefined);
}

/** @param ends by name and MAC address: the reference makes names by chance, and another container may have that one */
async function removeLinks(
  context: Context,
  names: readonly string[],
  ends: readonly Interface[],
): Promise<void> {
  const there = ends.filter(({ name }) => linkExists(context.world, name));
  const { links } = await askLinks(context.world, {
    ...{ links: there.map(({ name }) => name), reached: [], macs: [] },
  });
  const same = there.filter(({ name, mac }) => links.get(name)?.mac === mac).map(({ name }) => name);
  const going = [...names.filter((name) => linkExists(context.world, name)), ...same]
    .filter((name) => !isRecorded(context, name));
  const steps = going.map((name) => removeLinkAtUndo("host", name));
  await undoAll(context.world, prefixesFor(context), steps, "what the reference's plugins made");
}

async function restore(world: World, program: string, going: Going): Promise<void> {
  if (!findProgram(world, `${program}-save`)) return;
  const { stdout } = await world.run([`${program}-save`], { looks: true });
  await feed(world, [`${program}-restore`, "--noflush", "--wait"], dropFrom(stdout, going));
}

async function deleteRules(world: World, rules: NonNullable<Leftovers["nft"]>[number]): Promise<void> {
  const { stdout } = await world.run(["nft", "--handle", "list", "table", ...rules.table.split(" ")], {
    looks: true,
  });
  await feed(world, ["nft", "-f", "-"], dropCommented(stdout, rules));
}

/** Its program takes a while to find out that it does not run. */
async function giveBackSources(context: Context, steps: readonly Step[]): Promise<void> {
  if (!firewalldSigns.some((path) => context.world.read(path)?.trim())) return;
  await undoAll(context.world, prefixesFor(context), steps, "what firewalld was told");
}

async function feed(world: World, argv: readonly string[], stdin: string): Promise<void> {
  if (stdin === "") return;
  const { code, stderr } = await world.run(argv, { stdin });
  if (code !== 0) {
    throw new Error(`Cannot remove rules of the reference's plugins by ${argv[0]}: ${stderr.trim()}`);
  }
}
