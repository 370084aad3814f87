import { passMark } from "../../plan/nft.ts";
import { findProgram, type World } from "../../plan/world.ts";
import { type ForwardChain, forwardChains, forwardPrograms } from "../../engine/forward_policy.ts";
import { type Check, type Finding, install, kindOf, lack, ok, warn } from "./finding.ts";

/** Whether what is not ours lets our traffic pass: each chain has its own say. */
export const forwardingChecks: readonly Check[] = [
  ...forwardPrograms.map((of) => ({
    name: `${of.program} FORWARD`,
    look: async (world: World) => {
      if (!looks(world)) return [];
      const chains = await forwardChains(world, [], of);
      if (chains.length === 0) return ok(`${of.program} FORWARD`, "no such chain");
      return (await Promise.all(chains.map((chain) => lookAt(world, chain)))).flat();
    },
  })),
  { name: "nft forward", look: (world) => looks(world) ? lookAtOthers(world) : [] },
];

function looks(world: World): boolean {
  return kindOf(world) === "root" && findProgram(world, "nft") !== undefined;
}

/** Where iptables' FORWARD policy is DROP, a rule of ours has to be there. */
async function lookAt(world: World, { command, drops, passes }: ForwardChain): Promise<readonly Finding[]> {
  const name = `${command} FORWARD`;
  if (!drops) return ok(name, "policy ACCEPT");
  if (passes > 0) return ok(name, "policy DROP, with a rule that lets our containers' traffic pass");
  if (!findProgram(world, command)) {
    return lack(world, "root", {
      name,
      found: `policy DROP, and no ${command} to make a rule for our containers' traffic`,
      remedy: install(world, command),
    });
  }
  const table = await world.run(["nft", "list", "table", "inet", "ocinet"], { timeout: 5000 });
  if (table.code !== 0) return ok(name, "policy DROP; ocinet adds a rule with its first container");
  return warn(
    name,
    "policy DROP, and our rule is gone: traffic of running containers is dropped",
    `${command} -I FORWARD -m mark --mark ${passMark}/${passMark} -j ACCEPT`,
  );
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly prio?: number;
  readonly policy?: string;
}

/** Chains of the machine's own firewall, such as /etc/nftables.conf makes. */
async function lookAtOthers(world: World): Promise<readonly Finding[]> {
  const name = "nft forward";
  const { code, stdout } = await world.run(["nft", "-j", "list", "chains"], { timeout: 5000 });
  // Whether nft works at all, other looks say.
  if (code !== 0) return [];
  const { nftables } = JSON.parse(stdout) as { nftables: readonly { readonly chain?: Chain }[] };
  const dropping = nftables.flatMap(({ chain }) => chain ?? []).filter((chain) =>
    chain.hook === "forward" && chain.policy === "drop" && /^(inet|ip6?)$/.test(chain.family) &&
    !isIptables(chain)
  );
  const findings = await Promise.all(dropping.map((chain) => judge(world, chain)));
  return dropping.length === 0 ? ok(name, "no chain of others drops by policy") : findings.flat();
}

function isIptables({ family, table, name }: Chain): boolean {
  return family !== "inet" && table === "filter" && name === "FORWARD";
}

async function judge(world: World, { family, table, name, prio }: Chain): Promise<readonly Finding[]> {
  const chain = `${family} ${table} ${name}`;
  const { stdout } = await world.run(["nft", "list", "chain", family, table, name], { timeout: 5000 });
  if (stdout.includes(passMark)) return ok(`nft ${chain}`, "policy drop, with a rule for our traffic");
  const remedy =
    `nft insert rule ${chain} meta mark and ${passMark} == ${passMark} accept; to keep it, put that rule ` +
    `into the file that makes the chain, such as /etc/nftables.conf`;
  return warn(
    `nft ${chain}`,
    "policy drop: what root's containers send is dropped, unless one of its rules lets it pass",
    // Our forward chain, which marks, is at -1.
    (prio ?? 0) >= 0 ? remedy : `give the chain priority 0 or more; then ${remedy}`,
  );
}
