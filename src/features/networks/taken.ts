/** What two containers of one network cannot both have, and nothing else refuses. */
import { addressOf } from "../../net/address.ts";
import { parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Ip } from "../../wire/cni/result.ts";
import { endpointsIn, type NetworkEndpoint } from "./endpoints.ts";

/**
 * On one network, two interfaces with one MAC address would get each other's packets.
 * @throws CniError naming the container that has it
 */
export async function refuseTakenMac(world: World, state: string, at: Attachment): Promise<void> {
  const mac = parseMac(at.args.get("MAC") ?? "");
  if (mac !== undefined) await refuse(world, state, at, (one) => one.mac === mac && `MAC=${mac}`);
}

/**
 * The kernel lets two macvlans have one address, unlike two ipvlans.
 * @throws CniError naming the container that has it
 */
export async function refuseTakenAddress(
  world: World,
  state: string,
  at: Attachment,
  ips: readonly Ip[],
): Promise<void> {
  const wanted = ips.map(({ address }) => addressOf(address));
  await refuse(world, state, at, (one) => {
    const address = one.addresses.find((address) => wanted.includes(address));
    return address !== undefined && `address ${address}`;
  });
}

async function refuse(
  world: World,
  state: string,
  { network, containerId }: Attachment,
  takes: (one: NetworkEndpoint) => string | false,
): Promise<void> {
  for (const one of await endpointsIn(world, state)) {
    if (one.network !== network || !one.isRunning || one.container === containerId) continue;
    const what = takes(one);
    if (what) throw new CniError("invalidConfig", `Cannot use ${what}: container "${one.container}" has it`);
  }
}
