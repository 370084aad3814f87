import { passMark } from "../../plan/nft/chains.ts";
import { type ListedElement, parseElements } from "../../plan/nft/listing.ts";
import { firewalldHere } from "../../plan/firewalld.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { subnetsOf, untrusted } from "../../engine/firewalld.ts";
import {
  endsInReject,
  type FilterChain,
  filterChains,
  forwardPrograms,
  type PassedChain,
} from "../../engine/forward_policy.ts";
import { lacksRules } from "../../engine/own_table.ts";
import { type Check, type Finding, findingsOf, install, kindOf, lack, ok, warn } from "./finding.ts";

/** Checks whether rules of other programs let our traffic pass. Every chain can drop packets. */
export const forwardingChecks: readonly Check[] = [
  ...forwardPrograms.flatMap((of) =>
    (["FORWARD", "INPUT"] as const).map((chain) => ({
      name: `${of.program} ${chain}`,
      look: async (world: World) => {
        if (!looks(world)) return [];
        const found = await filterChains(world, [], of, chain);
        if (found.length === 0) return ok(`${of.program} ${chain}`, "no such chain");
        return (await Promise.all(found.map((one) => lookAt(world, one, chain)))).flat();
      },
    }))
  ),
  { name: "forwarding", look: (world) => looks(world) ? lookAtForwarding(world) : [] },
  { name: "nft forward", look: (world) => looks(world) ? lookAtOthers(world) : [] },
];

/** What other programs' chains do with packets that the host forwards for our containers. */
export async function forwardFindings(world: World): Promise<readonly Finding[]> {
  const others = forwardingChecks.filter(({ name }) => !/^forwarding$|INPUT$/.test(name));
  return (await Promise.all(others.map((check) => findingsOf(world, check)))).flat();
}

function looks(world: World): boolean {
  return kindOf(world) === "root" && findProgram(world, "nft") !== undefined;
}

/** If the policy is DROP, our rule must be there. In INPUT it is for names by our resolver. */
async function lookAt(
  world: World,
  { command, drops, rejects, passes }: FilterChain,
  chain: PassedChain,
): Promise<readonly Finding[]> {
  const name = `${command} ${chain}`;
  if (!drops && !rejects) return ok(name, "policy ACCEPT");
  const policy = drops ? "policy DROP" : "its last rule lets nothing pass";
  if (passes > 0) return ok(name, `${policy}, with a rule that lets our containers' traffic pass`);
  if (!findProgram(world, command)) {
    return lack(world, "root", {
      name,
      found: `${policy}, and no ${command} to make a rule for our containers' traffic`,
      remedy: install(world, command),
    });
  }
  const elements = await ownElements(world);
  if (!elements || !isPassed(chain, elements)) {
    const first = chain === "INPUT" ? "network with --opt names=dns" : "container";
    return ok(name, `${policy}; ocinet adds a rule with its first ${first}`);
  }
  return warn(
    name,
    `${policy}, and our rule is gone: ${
      dropped[chain]
    } is dropped; repair or the next container puts it back`,
    `${command} -I ${chain} -m mark --mark ${passMark}/${passMark} -j ACCEPT`,
  );
}

const dropped = {
  FORWARD: "traffic of running containers",
  INPUT: "what running containers ask the resolver",
};

/** Whether running containers need the chain to let packets pass. */
function isPassed(chain: PassedChain, elements: readonly ListedElement[]): boolean {
  return chain === "FORWARD" || elements.some(({ set }) => set.startsWith("resolvers"));
}

/** What is in our table; undefined if there is none. */
async function ownElements(world: World): Promise<readonly ListedElement[] | undefined> {
  const { code, stdout } = await listOwn(world);
  return code === 0 ? parseElements(stdout) : undefined;
}

function listOwn(world: World) {
  return world.run(["nft", "list", "table", "inet", "ocinet"], { timeout: 5000 });
}

/** Reports forwarding that we turned on, if no container is left. */
async function lookAtForwarding(world: World): Promise<readonly Finding[]> {
  const name = "forwarding";
  const { stdout } = await listOwn(world);
  if (lacksRules(stdout)) {
    return warn(
      name,
      "table inet ocinet lacks its rules: no published port works",
      "ocinet repair ID, of any running container",
    );
  }
  const elements = parseElements(stdout);
  const off = switchedOff(world, elements);
  if (off.length > 0) {
    return warn(
      name,
      `off for containers that run, by ${off.join(", ")}: what they send stays on this machine`,
      `${off.map((key) => `sysctl -w ${key}=1`).join("; ")}; look for who sets it in /etc/sysctl.d`,
    );
  }
  const links = elements.filter(({ set }) => set.startsWith("unforwarded")).map(({ key }) =>
    key.split('"')[1]!
  );
  if (links.length === 0) return [];
  const apart = `between ${[...new Set(links)].join(", ")} nothing is forwarded but for containers`;
  if (elements.some(({ set }) => set.startsWith("members"))) {
    return ok(name, `on since the first container; ${apart}`);
  }
  return warn(
    name,
    `ocinet turned it on, and it still is, without a container; ${apart}`,
    "ocinet gc turns it off, unless other links have come since; then, if these do not need it: " +
      "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0; nft delete table inet ocinet",
  );
}

/** For containers with outgoing traffic: the forwarding sysctls that another program has turned off since. */
function switchedOff(world: World, elements: readonly ListedElement[]): readonly string[] {
  const linksOf = (set: string) =>
    elements.filter((element) => element.set === set).flatMap(({ key }) => key.split('"')[1] ?? []);
  const [four, six] = [linksOf("masquerade4"), linksOf("masquerade6")];
  const all = four.length > 0 && isOff(world, "net.ipv4.ip_forward") ? ["net.ipv4.ip_forward"] : [];
  const some = all.length > 0 ? [] : [...new Set(four)].map((link) => `net.ipv4.conf.${link}.forwarding`);
  const wide = six.length > 0 ? ["net.ipv6.conf.all.forwarding"] : [];
  return [...all, ...[...some, ...wide].filter((key) => isOff(world, key))];
}

function isOff(world: World, key: string): boolean {
  return world.read(`/proc/sys/${key.replaceAll(".", "/")}`)?.trim() === "0";
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly prio?: number;
  readonly policy?: string;
}

/** Checks the chains of the machine's own firewall, e.g. of /etc/nftables.conf. */
async function lookAtOthers(world: World): Promise<readonly Finding[]> {
  const name = "nft forward";
  const { code, stdout } = await world.run(["nft", "-j", "list", "chains"], { timeout: 5000 });
  // Other checks report whether nft works at all.
  if (code !== 0) return [];
  const { nftables } = JSON.parse(stdout) as { nftables: readonly { readonly chain?: Chain }[] };
  const elements = await ownElements(world) ?? [];
  const firewalld = firewalldHere(world) === undefined ? [] : [lookAtFirewalld(world, elements)];
  const others = nftables.flatMap(({ chain }) => chain ?? []).filter((chain) =>
    (chain.hook === "forward" || chain.hook === "input" && isPassed("INPUT", elements)) &&
    /^(inet|ip6?)$/.test(chain.family) && chain.table !== "ocinet" && !isIptables(chain) &&
    !(firewalld.length > 0 && chain.table === "firewalld")
  );
  const findings = (await Promise.all([...firewalld, ...others.map((chain) => judge(world, chain))])).flat();
  return findings.length === 0 ? ok(name, "no chain of others drops all that comes to its end") : findings;
}

function isIptables({ family, table, name }: Chain): boolean {
  return family !== "inet" && table === "filter" && /^(FORWARD|INPUT)$/.test(name);
}

/** Its chains drop what comes from subnets that it does not know. */
async function lookAtFirewalld(
  world: World,
  elements: readonly ListedElement[],
): Promise<readonly Finding[]> {
  const missing = await untrusted(world, subnetsOf(elements));
  if (missing.length === 0) return ok("firewalld", "accepts what comes from running containers");
  return warn(
    "firewalld",
    `drops what containers of ${missing.join(", ")} send to the host and through it`,
    `ocinet repair --all, as after each firewall-cmd --reload; or firewall-cmd --zone=trusted ` +
      missing.map((subnet) => `--add-source=${subnet}`).join(" "),
  );
}

async function judge(
  world: World,
  { family, table, name, hook, prio, policy }: Chain,
): Promise<readonly Finding[]> {
  const chain = `${family} ${table} ${name}`;
  const { stdout } = await world.run(["nft", "list", "chain", family, table, name], { timeout: 5000 });
  if (policy !== "drop" && !endsInReject(stdout)) return [];
  const found = policy === "drop" ? "policy drop" : "its last rule lets nothing pass";
  if (stdout.includes(passMark)) return ok(`nft ${chain}`, `${found}, with a rule for our traffic`);
  const remedy =
    `nft insert rule ${chain} meta mark and ${passMark} == ${passMark} accept; to keep it, put that rule ` +
    `into the file that makes the chain, such as /etc/nftables.conf`;
  return warn(
    `nft ${chain}`,
    `${found}: what root's containers ${
      hook === "input" ? "ask a resolver of ocinet's" : "send"
    } is dropped, unless one of its ` +
      "rules lets it pass",
    // Our own chains, which mark packets, have priority -1.
    (prio ?? 0) >= 0 ? remedy : `give the chain priority 0 or more; then ${remedy}`,
  );
}
