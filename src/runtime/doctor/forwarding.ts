import { passMark } from "../../plan/nft.ts";
import { findProgram, type World } from "../../plan/world.ts";
import { type ForwardChain, forwardChains, forwardPrograms } from "../forward_policy.ts";
import { type Check, type Finding, install, kindOf, lack, ok, warn } from "./finding.ts";

/** Whether iptables lets our traffic pass: where its FORWARD policy is DROP, a rule of ours has to be there. */
export const forwardingChecks: readonly Check[] = forwardPrograms.map((of) => ({
  name: `${of.program} FORWARD`,
  look: async (world) => {
    if (kindOf(world) !== "root" || !findProgram(world, "nft")) return [];
    const chains = await forwardChains(world, [], of);
    if (chains.length === 0) return ok(`${of.program} FORWARD`, "no such chain");
    return (await Promise.all(chains.map((chain) => lookAt(world, chain)))).flat();
  },
}));

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
