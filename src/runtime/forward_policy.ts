import { passMark } from "../plan/nft.ts";
import { findProgram, type World } from "../plan/world.ts";

const families = [["ip", "iptables"], ["ip6", "ip6tables"]] as const;
const rule = ["FORWARD", "-m", "mark", "--mark", `${passMark}/${passMark}`, "-j", "ACCEPT"];

/**
 * Where iptables' FORWARD policy is DROP (Docker sets that), accepting a packet in our table does not save it: each
 * table has its own say. One rule there lets through what our forward chain has marked. Done when our table is made,
 * wherever there is such a chain: its policy may yet change.
 */
export async function passForwardPolicy(world: World, prefix: readonly string[]): Promise<void> {
  for (const [family, command] of families) {
    if (!await readChain(world, prefix, family) || !findProgram(world, command)) continue;
    const there = await world.run([...prefix, command, "--wait", "-C", ...rule], { looks: true });
    if (there.code !== 0) await world.run([...prefix, command, "--wait", "-I", ...rule]);
  }
}

/** Where that rule is: its program, as often as it is there. Two that made the table at once may both have put it. */
export async function findPassRules(world: World, prefix: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const [family, command] of families) {
    const rows = (await readChain(world, prefix, family)).split("\n").filter((row) => row.includes(passMark));
    if (findProgram(world, command)) found.push(...rows.map(() => command));
  }
  return found;
}

/** Takes that rule away, once, by the program that `findPassRules` names. */
export async function unpassForwardPolicy(
  world: World,
  prefix: readonly string[],
  command: string,
): Promise<void> {
  await world.run([...prefix, command, "--wait", "-D", ...rule]);
}

async function readChain(world: World, prefix: readonly string[], family: string): Promise<string> {
  const list = [...prefix, "nft", "list", "chain", family, "filter", "FORWARD"];
  return (await world.run(list, { looks: true })).stdout;
}
