import { CniError } from "../cni/error.ts";
import { parseJson } from "../cni/fields.ts";
import type { Interface, Result, Route } from "../cni/result.ts";
import { addressOf, lengthOf } from "../net/address.ts";
import type { Seen } from "../plan/seen.ts";
import { readElement } from "../plan/nft.ts";
import type { Line } from "../plan/step.ts";
import { findProgram, type World } from "../plan/world.ts";
import { hostLinks } from "../plugins/meta/previous.ts";
import { table } from "../plugins/table.ts";
import { type Parsed, sightOf } from "./chain.ts";
import { prefixesOf } from "./container.ts";
import {
  askingDirectory,
  callForeignPart,
  checkNamespace,
  type Context,
  foreignPart,
  ipamOf,
  parse,
  previousResult,
} from "./plugin_call.ts";
import { readRecord } from "./plugin_record.ts";
import { takenPorts } from "./port_turns.ts";
import { see } from "./see.ts";

/**
 * CHECK: looks whether what ADD made is still there.
 * @throws CniError naming the first thing that is not
 */
export async function check(context: Context): Promise<void> {
  const { delegation, key: { containerId, network } } = context;
  if (delegation?.unknown) {
    throw lost(
      `Cannot check: nothing is written down of an ADD of container "${containerId}" to network "${network}"`,
    );
  }
  if (delegation?.foreign) return void await callForeignPart(context, "CHECK");
  if (table[context.call.type]!.role === "ipam") return checkLease(context);
  const made = previousResult(context);
  if (!made) throw new CniError("internal", "Required prevResult missing");
  checkNamespace(context);
  const parsed = parse(context);
  if (foreignPart(context) !== undefined) await callForeignPart(context, "CHECK");
  else checkLease(context);
  checkSandbox(context, made);
  if (parsed.role === "main") await checkContainer(context, made);
  await checkOwn(context, parsed, made);
  await checkRules(context);
}

function checkLease(context: Context): void {
  const { world, conf, at } = context;
  const ipam = ipamOf(context);
  if (!ipam) return;
  const problem = "asks" in ipam
    ? ipam.lost(ipam.parse(conf), at, askingDirectory(context), world)
    : ipam.lost?.(ipam.parse(conf), at, world);
  if (problem !== undefined) throw lost(problem);
}

function lost(what: string, details = ""): CniError {
  return new CniError("internal", what, details);
}

/** One namespace may go by several names. */
function checkSandbox({ world, at, container }: Context, { interfaces }: Result): void {
  const other = interfaces.find(({ name, sandbox }) =>
    name === at.ifname && sandbox !== undefined && sandbox !== at.netns &&
    world.stat(sandbox)?.identity !== container.identity
  );
  if (other) {
    throw lost(`Sandbox in prevResult ${other.sandbox} doesn't match configured netns: ${at.netns}`);
  }
}

/** What `ip -j address` says of a link, as far as it matters here. */
interface InsideLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly address?: string;
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

interface InsideRoute {
  readonly dst: string;
  readonly gateway?: string;
}

const look = ["ip -j address", "ip -4 -j route show table all", "ip -6 -j route show table all 2>&-"];

async function checkContainer({ world, container, at }: Context, made: Result): Promise<void> {
  const argv = [...prefixesOf(container).container, "sh", "-c", look.join("; echo --; ")];
  const { stdout } = await world.run(argv, { looks: true });
  const [links = [], four = [], six = []] = stdout.split(/^--$/m).map((part) =>
    parseJson(part.trim() || "[]", "what ip says") as readonly never[]
  );
  made.interfaces.forEach((wanted, i) => {
    if (wanted.sandbox === undefined || wanted.name !== at.ifname && wanted.sandbox !== at.netns) return;
    const addresses = made.ips.filter((ip) => ip.interface === i).map(({ address }) => address);
    checkLink(wanted, addresses, links);
  });
  const everywhere = [...four.map(withDefault("0.0.0.0/0")), ...six.map(withDefault("::/0"))];
  const gone = made.routes.find((route) => !everywhere.some((there) => isRoute(there, route)));
  if (gone) throw lost(`Failed to find route to ${gone.dst}`);
}

function checkLink(
  { name, mac }: Interface,
  addresses: readonly string[],
  links: readonly InsideLink[],
): void {
  const link = links.find(({ ifname }) => ifname === name);
  if (!link) throw lost(`container interface "${name}" not found`);
  if (mac && link.address !== mac) {
    throw lost(`container interface "${name}" has MAC address ${link.address}, not ${mac}`);
  }
  if (addresses.length > 0 && !link.flags.includes("UP")) throw lost(`container interface "${name}" is down`);
  const gone = addresses.find((address) => !has(link, address));
  if (gone) throw lost(`Failed to match addr ${gone} on interface ${name}`);
}

function has({ addr_info }: InsideLink, cidr: string): boolean {
  return addr_info.some(({ local, prefixlen }) => local === addressOf(cidr) && prefixlen === lengthOf(cidr));
}

function withDefault(everywhere: string): (route: InsideRoute) => InsideRoute {
  return (route) => route.dst === "default" ? { ...route, dst: everywhere } : route;
}

/** `ip` shows a route to one address without its length. */
function isRoute({ dst, gateway }: InsideRoute, wanted: Route): boolean {
  return (dst === wanted.dst || dst === addressOf(wanted.dst)) &&
    (wanted.gw === undefined || gateway === wanted.gw);
}

/** The links on the host, and what only the type knows of. */
async function checkOwn({ world, at, container }: Context, parsed: Parsed, made: Result): Promise<void> {
  const wanted = sightOf([{ chain: [parsed], at, made }]);
  const links = [...wanted.links, ...hostLinks(made)];
  const seen = await see(world, { ...wanted, links }, prefixesOf(container).container);
  const own = parsed.role === "main" ? made.interfaces.filter(({ sandbox }) => sandbox === undefined) : [];
  own.forEach(({ name, mac }) => checkMac(seen, name, mac));
  const problem = parsed.plugin.lost?.(parsed.conf, at, made, seen);
  if (problem !== undefined) throw lost(problem);
}

function checkMac({ links }: Seen, name: string, mac: string | undefined): void {
  const link = links.get(name);
  if (!link) throw lost(`host interface "${name}" not found`);
  if (mac && link.mac !== mac) throw lost(`host interface "${name}" has MAC address ${link.mac}, not ${mac}`);
}

/** Every element of ours that ADD put into a set or map has to be in it, and to lead where it led. */
async function checkRules(context: Context): Promise<void> {
  const { world, state, key } = context;
  const rules = readRecord(world, state, key)?.steps.filter((step): step is Line => step.tool === "nft") ??
    [];
  const elements = rules.flatMap(({ run }) => readElement(run) ?? []);
  if (elements.length === 0) return;
  // A map's element is looked up by its key alone.
  const stdin = elements.map(({ set, key }) => `get element ${set} { ${key} }\n`).join("");
  const { code, stdout, stderr } = await world.run(["nft", "-f", "-"], { stdin, looks: true });
  if (code !== 0) throw lost("Cannot find all of our rules", stderr.split("\n")[0]);
  const away = elements.filter(({ key, value }) =>
    value !== undefined && !stdout.includes(`${key} : ${value}`)
  );
  const elsewhere = away.length > 0 ? takenPorts(context) : new Set();
  const gone = away.find(({ set, key }) => !elsewhere.has(`${set} ${key}`));
  if (gone) throw lost(`Cannot find "${gone.key} : ${gone.value}" in our table`);
}

/** STATUS: whether an ADD could work now. @throws CniError code 50 for what is missing or used up */
export async function status(context: Context): Promise<void> {
  const { world, conf, at } = context;
  checkPrograms(world);
  if (context.delegation?.foreign) return void await callForeignPart(context, "STATUS");
  if (table[context.call.type]!.role !== "ipam") parse(context);
  if (foreignPart(context) !== undefined) return void await callForeignPart(context, "STATUS");
  const ipam = ipamOf(context);
  const reason = ipam?.exhausted?.(ipam.parse(conf), at, world);
  if (reason) throw new CniError("unavailable", reason);
}

function checkPrograms(world: World): void {
  const missing = ["ip", "nft", "nsenter"].find((program) => !findProgram(world, program));
  if (missing === undefined) return;
  throw new CniError("unavailable", `Cannot attach containers: program "${missing}" is not on PATH`);
}
