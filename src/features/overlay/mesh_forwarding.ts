import { family } from "../../net/address.ts";
import { forward, forwardingSysctls } from "../../drivers/main/veth.ts";
import { apply } from "../../engine/apply.ts";
import { together } from "../../engine/chain.ts";
import { recordKeptChanges } from "../../engine/kept_changes.ts";
import { observe } from "../../engine/observe.ts";
import type { Agent } from "./agent_state.ts";
import type { MeshNetwork } from "./mesh.ts";

/**
 * Has the kernel forward between other links and the networks' bridges, but not between links that did not before; "gc"
 * puts that back. A client's address comes in by a bridge that does not lead to it, which the filter of reverse paths
 * has to let pass: the kernel takes the laxer of "all" and the bridge's own.
 */
export async function allowForwarding(agent: Agent, networks: readonly MeshNetwork[]): Promise<void> {
  const { world, state } = agent;
  for (const { bridge } of networks) {
    const path = `/proc/sys/net/ipv4/conf/${bridge}/rp_filter`;
    if (![undefined, "2"].includes(world.read(path)?.trim())) world.put(path, "2");
  }
  const families = new Set(networks.flatMap(({ subnets }) => subnets.map(family)));
  const isOff = forwardingSysctls.some((key, i) =>
    families.has(i === 0 ? 4 : 6) && world.read(`/proc/sys/${key}`)?.trim() === "0"
  );
  if (!isOff) return;
  const seen = await observe(world, together([{ sysctls: forwardingSysctls, advertised: true }]), undefined);
  const ips = networks.flatMap(({ subnets }) => subnets.map((address) => ({ address, interface: 0 })));
  const steps = forward(ips, seen);
  recordKeptChanges(world, state, steps);
  await apply(world, { host: [], container: [] }, steps);
}
