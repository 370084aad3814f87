/**
 * firewalld drops what containers send to the host and through it, unless their subnet is in a zone that accepts it. Its
 * rules are in a table of its own, so accepting in ours is not enough. It forgets what it was told when it is reloaded.
 */
import { firewalldHere } from "../plan/firewalld.ts";
import { elementsIn } from "../plan/nft/element.ts";
import { exec, type Step } from "../plan/step.ts";
import { whyFailed, type World } from "../plan/world.ts";
import { isKept, keepChange } from "./kept_changes.ts";
import { stateDirectory } from "./state.ts";

/** A zone that firewalld always has, and that accepts everything. */
const zone = "trusted";

/** busctl is systemd's. It takes a twentieth of the time of firewall-cmd, which is a program in Python. */
function ask(method: string, ...words: readonly string[]): readonly string[] {
  const [service, signature] = ["org.fedoraproject.FirewallD1", "s".repeat(words.length)];
  const path = "/org/fedoraproject/FirewallD1";
  return ["busctl", "--auto-start=no", "call", service, path, `${service}.zone`, method, signature, ...words];
}

/** The subnets of containers that the steps make rules for. */
export function subnetsIn(steps: readonly Step[]): readonly string[] {
  return subnetsOf(elementsIn(steps));
}

/** The same of elements that steps add, or that a listing of our table has. */
export function subnetsOf(
  elements: readonly { readonly set: string; readonly key: string }[],
): readonly string[] {
  const subnets = elements.filter(({ set }) => /\bsubnets[46]$/.test(set));
  return [...new Set(subnets.flatMap(({ key }) => key.split(" . ").at(-1) ?? []))];
}

/**
 * Has firewalld accept what comes from containers' subnets, if it runs. A subnet that an administrator has put in a zone
 * stays there. A problem is a warning: firewalld may let the containers' traffic pass anyway.
 * @returns the subnets that it has been told of
 */
export async function trustSubnets(world: World, steps: readonly Step[]): Promise<readonly string[]> {
  if (firewalldHere(world) === undefined) return [];
  const told: string[] = [];
  for (const subnet of subnetsIn(steps)) {
    const problem = await trust(world, subnet);
    if (problem === undefined) told.push(subnet);
    else if (problem !== "") {
      world.warn(
        `firewalld may drop what containers of ${subnet} send, since it cannot be told of them: ${problem}; run ` +
          `firewall-cmd --zone=${zone} --add-source=${subnet}`,
      );
    }
  }
  return told;
}

/** @returns why it could not be told; "" if it knows the subnet already */
async function trust(world: World, subnet: string): Promise<string | undefined> {
  const step = exec("host", `firewalld source ${subnet}`, {
    run: ask("addSource", zone, subnet),
    undo: ask("removeSource", zone, subnet),
    shows: `firewalld source ${subnet}`,
  });
  const state = stateDirectory(world);
  if (!isKept(world, state, step)) {
    const { code, stdout } = await world.run(ask("getZoneOfSource", subnet), { looks: true, timeout: 5000 });
    if (code === 0 && stdout.trim() !== 's ""') return "";
    keepChange(world, state, step);
  }
  const output = await world.run(step.run!, { timeout: 5000 });
  if (output.code === 0) return undefined;
  return /ZONE_(ALREADY_SET|CONFLICT)/.test(output.stderr) ? "" : whyFailed(output);
}

/** Which of the subnets firewalld has no rules for, as far as its table tells; none if it does not run. */
export async function untrusted(world: World, subnets: readonly string[]): Promise<readonly string[]> {
  if (subnets.length === 0 || firewalldHere(world) === undefined) return [];
  const { code, stdout } = await world.run(["nft", "list", "table", "inet", "firewalld"], { looks: true });
  return code === 0 ? subnets.filter((subnet) => !stdout.includes(` saddr ${subnet} `)) : [];
}
