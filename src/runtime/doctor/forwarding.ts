import { passMark } from "../../plan/nft.ts";
import { findProgram, type World } from "../../plan/world.ts";
import { type Check, type Finding, install, kindOf, lack, ok, warn } from "./finding.ts";

const families = [["ip", "iptables"], ["ip6", "ip6tables"]] as const;

/** Whether iptables lets our traffic pass: where its FORWARD policy is DROP, a rule of ours has to be there. */
export const forwardingChecks: readonly Check[] = families.map(([family, command]) => ({
  name: `${command} FORWARD`,
  look: (world) =>
    kindOf(world) === "root" && findProgram(world, "nft") ? lookAt(world, family, command) : [],
}));

async function lookAt(world: World, family: string, command: string): Promise<readonly Finding[]> {
  const name = `${command} FORWARD`;
  const list = (...words: readonly string[]) => world.run(["nft", "list", ...words], { timeout: 5000 });
  const { stdout } = await list("chain", family, "filter", "FORWARD");
  if (!/policy drop/.test(stdout)) return ok(name, stdout === "" ? "no such chain" : "policy ACCEPT");
  if (stdout.includes(passMark)) {
    return ok(name, "policy DROP, with a rule that lets our containers' traffic pass");
  }
  if (!findProgram(world, command)) {
    return lack(world, "root", {
      name,
      found: `policy DROP, and no ${command} to make a rule for our containers' traffic`,
      remedy: install(world, command),
    });
  }
  const table = await list("table", "inet", "ocinet");
  if (table.code !== 0) return ok(name, "policy DROP; ocinet adds a rule with its first container");
  return warn(
    name,
    "policy DROP, and our rule is gone: traffic of running containers is dropped",
    `${command} -I FORWARD -m mark --mark ${passMark}/${passMark} -j ACCEPT`,
  );
}
