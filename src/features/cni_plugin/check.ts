import { CniError, codes } from "../../wire/cni/error.ts";
import type { Interface, Result, Route } from "../../wire/cni/result.ts";
import { lengthOf } from "../../net/address.ts";
import type { InsideLink, InsideRoute } from "../../plan/inside.ts";
import type { HostState } from "../../plan/host_state.ts";
import { elementsIn, forwards } from "../../plan/nft/element.ts";
import { findProgram } from "../../plan/programs.ts";
import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { hostLinks } from "../../wire/cni/previous_result.ts";
import { table } from "../../drivers/table.ts";
import { type Parsed, together } from "../../engine/chain.ts";
import { prefixesOf } from "../../engine/namespace.ts";
import {
  asCniError,
  askingDirectory,
  callExternalPart,
  checkNamespace,
  type Context,
  externalPart,
  ipamOf,
  parse,
  previousResult,
} from "./call.ts";
import { missingElements } from "../../engine/drift_views.ts";
import { subnetsIn, untrusted } from "../../engine/firewalld.ts";
import { filterChains, forwardPrograms } from "../../engine/forward_policy.ts";
import { readPlugin } from "../../engine/record.ts";
import { takenPorts } from "./port_failover.ts";
import { observe } from "../../engine/observe.ts";

/**
 * CHECK: looks whether what ADD made is still there.
 * @throws CniError naming the first thing that is not
 */
export async function check(context: Context): Promise<void> {
  const { delegation, key: { id, network } } = context;
  if (delegation?.unknown) {
    throw lost(
      `Cannot check: nothing is recorded of an ADD of container "${id}" to network "${network}"`,
    );
  }
  if (delegation?.external) return void await callExternalPart(context, "CHECK");
  if (table[context.call.type]!.role === "ipam") return checkLease(context);
  const made = previousResult(context);
  if (!made) throw new CniError("internal", "Required prevResult missing");
  checkNamespace(context);
  const parsed = parse(context);
  if (externalPart(context) !== undefined) await callExternalPart(context, "CHECK");
  else checkLease(context);
  checkSandbox(context, made);
  const seen = await lookAgain(context, parsed, made);
  if (parsed.role === "main") {
    checkResult(context, parsed.plugin.lasting?.(parsed.conf, made, seen) ?? made, seen);
  }
  const problem = parsed.plugin.checkDrift?.(parsed.conf, context.at, made, seen);
  if (problem !== undefined) throw lost(problem);
  await checkRules(context);
}

function checkLease(context: Context): void {
  const { world, conf, at } = context;
  const ipam = ipamOf(context);
  if (!ipam) return;
  const problem = ipam.kind === "link"
    ? ipam.checkDrift(ipam.parse(conf), at, askingDirectory(context), world)
    : ipam.checkDrift?.(ipam.parse(conf), at, world, previousResult(context));
  if (problem !== undefined) throw lost(problem);
}

function lost(what: string, details = ""): CniError {
  return new CniError("internal", what, details);
}

/** One namespace may go by several names; and some runtimes write an id of theirs, which is no path. */
function checkSandbox({ world, at, container }: Context, { interfaces }: Result): void {
  const other = interfaces.find(({ name, sandbox }) =>
    name === at.ifname && sandbox?.startsWith("/") && sandbox !== at.netns &&
    world.stat(sandbox)?.identity !== container.identity
  );
  if (other) {
    throw lost(`Sandbox in prevResult ${other.sandbox} doesn't match configured netns: ${at.netns}`);
  }
}

/** Looks at all that the plugin had to see to make it, and at what it made. */
async function lookAgain(
  { world, container, at }: Context,
  parsed: Parsed,
  made: Result,
): Promise<HostState> {
  const { plugin, conf, role } = parsed;
  const wanted = together([
    plugin.lookups(conf, at, made),
    plugin.evidence?.(conf, at, made) ?? {},
    { links: hostLinks(made), inside: role === "main" },
  ]);
  return await observe(world, wanted, prefixesOf(container).container);
}

/** The links, addresses and routes of the result; those of the host as well as the container's. */
function checkResult({ at }: Context, made: Result, seen: HostState): void {
  made.interfaces.forEach((wanted, i) => {
    if (wanted.sandbox === undefined) return checkHostLink(wanted, seen);
    if (wanted.name !== at.ifname && wanted.sandbox !== at.netns) return;
    const addresses = made.ips.filter((ip) => ip.interface === i).map(({ address }) => address);
    checkLink(wanted, addresses, seen.inside?.links.get(wanted.name));
  });
  const there = seen.inside?.routes ?? [];
  const gone = made.routes.find((route) =>
    !there.some((one) => isRoute(one, route)) || isLostHop(route, made.routes, there)
  );
  if (gone) throw lost(`Failed to find route to ${gone.dst}`);
}

function checkHostLink({ name, mac }: Interface, { links }: HostState): void {
  const link = links.get(name);
  if (!link) throw lost(`host interface "${name}" not found`);
  if (mac && link.mac !== mac) throw lost(`host interface "${name}" has MAC address ${link.mac}, not ${mac}`);
}

function checkLink(
  { name, mac }: Interface,
  addresses: readonly string[],
  link: InsideLink | undefined,
): void {
  if (!link) throw lost(`container interface "${name}" not found`);
  if (mac && link.mac !== mac) {
    throw lost(`container interface "${name}" has MAC address ${link.mac}, not ${mac}`);
  }
  if (addresses.length > 0 && !link.up) throw lost(`container interface "${name}" is down`);
  const gone = addresses.find((address) => !link.addresses?.includes(address));
  if (gone) throw lost(`Failed to match addr ${gone} on interface ${name}`);
}

/** The main table's number; a route in another says so. */
const main = 254;

/**
 * A route that names no table may be in any: sbr and vrf move them. Of several networks' default routes the first has
 * stayed, whose gateway is another.
 */
function isRoute({ dst, table = main, attributes }: InsideRoute, wanted: Route): boolean {
  if (dst !== wanted.dst || (wanted.table !== undefined && table !== wanted.table)) return false;
  return wanted.gw === undefined || lengthOf(dst) === 0 ||
    attributes.some(([word, value]) => word === "via" && value === wanted.gw);
}

/** Of a default route by several gateways all have to be there, unless another network's is there in its place. */
function isLostHop(
  { dst, gw }: Route,
  wanted: readonly Route[],
  there: readonly InsideRoute[],
): boolean {
  const gateways = new Set(wanted.flatMap((route) => route.dst === dst ? route.gw ?? [] : []));
  const found = there.filter((route) => route.dst === dst).flatMap(({ attributes }) =>
    attributes.flatMap(([word, value]) => word === "via" && gateways.has(value) ? [value] : [])
  );
  return gateways.size > 1 && gw !== undefined && found.length > 0 && !found.includes(gw);
}

/** Every element of ours that ADD put into a set or map has to be in it, and to lead where it led. */
async function checkRules(context: Context): Promise<void> {
  const { world, state, key } = context;
  const steps = readPlugin(world, state, key)?.steps ?? [];
  const gone = await missingElements(world, elementsIn(steps));
  const elsewhere = gone.length > 0 ? takenPorts(context) : new Set();
  const first = gone.find(({ set, key }) => !elsewhere.has(`${set} ${key}`));
  if (!first) return forwards(steps) ? await checkFirewalls(world, steps) : undefined;
  const value = first.value === undefined ? "" : ` : ${first.value}`;
  throw lost("Cannot find all of our rules", `"${first.key}${value}" is not in "${first.set}"`);
}

/** Where FORWARD drops, or ends in a rule that does, one of ours has to be there; and firewalld has to know our subnets. */
async function checkFirewalls(world: World, steps: readonly Step[]): Promise<void> {
  for (const kind of forwardPrograms) {
    const cut = (await filterChains(world, [], kind, "FORWARD")).find(({ drops, rejects, passes }) =>
      (drops || rejects) && passes === 0
    );
    if (cut) throw lost(`FORWARD of ${cut.command} drops, and has no rule that lets our packets pass`);
  }
  const [subnet] = await untrusted(world, subnetsIn(steps));
  if (subnet !== undefined) throw lost(`firewalld does not accept what comes from ${subnet}`);
}

/**
 * STATUS: whether an ADD could work now.
 * @throws CniError code 50 for what is missing or used up; 51 where containers that are attached miss it, too
 */
export async function status(context: Context): Promise<void> {
  const { world, conf, at } = context;
  const parsed = await checkMeans(context);
  if (context.delegation?.external) return void await callExternalPart(context, "STATUS");
  if (parsed) await checkHost(context, parsed);
  if (externalPart(context) !== undefined) return void await callExternalPart(context, "STATUS");
  const ipam = ipamOf(context);
  const reason = ipam?.exhausted?.(ipam.parse(conf), at, world);
  if (reason) throw new CniError("unavailable", reason);
}

/** Programs, and what the kernel can do. */
async function checkMeans(context: Context): Promise<Parsed | undefined> {
  const { world, call, delegation } = context;
  const ours = !delegation?.external && table[call.type]!.role !== "ipam";
  checkPrograms(world, ["ip", "nft", "nsenter"]);
  if (!ours) return undefined;
  const parsed = parse(context);
  const kernelProbe = parsed.plugin.kernelProbe?.(parsed.conf) ?? [];
  checkPrograms(world, kernelProbe.map((line) => line.split(" ")[0]!));
  await tryInVain(world, kernelProbe);
  return parsed;
}

function checkPrograms(world: World, programs: readonly string[]): void {
  const missing = programs.find((program) => !findProgram(world, program));
  if (missing === undefined) return;
  throw new CniError("unavailable", `Cannot attach containers: program "${missing}" is not on PATH`);
}

/** Does lines up to the first that fails, and says that one. */
const tryEach = 'set -f; echo begun; for line; do $line || { echo "$line"; exit; }; done';

/** In a namespace that ends with it: whether the kernel has something is known for certain only from trying. */
async function tryInVain(world: World, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const argv = ["unshare", "--net", "sh", "-c", tryEach, "sh", ...lines];
  const { stdout, stderr } = await world.run(argv, { looks: true });
  const failed = stdout.trim().split("\n")[1];
  if (failed === undefined) return;
  const message = `Cannot attach containers: "${failed}" does not work here`;
  throw new CniError("unavailable", message, stderr.trim().split("\n")[0]);
}

/** What there has to be on the host already. */
async function checkHost({ world, at }: Context, { plugin, conf }: Parsed): Promise<void> {
  if (!plugin.statusProblem) return;
  const seen = await observe(world, together([plugin.lookups(conf, at)]), undefined);
  try {
    plugin.statusProblem(conf, seen);
  } catch (error) {
    const { code, message, details } = asCniError(error);
    throw new CniError(code === codes.limitedConnectivity ? code : "unavailable", message, details);
  }
}
