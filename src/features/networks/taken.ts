/** What two containers of one network cannot both have, and nothing else refuses. */
import { parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import { CniError } from "../../wire/cni/error.ts";
import { endpointsIn } from "./endpoints.ts";

/**
 * On one network, two interfaces with one MAC address would get each other's packets.
 * @throws CniError naming the container that has it
 */
export async function refuseTakenMac(
  world: World,
  state: string,
  { network, containerId, args }: Attachment,
): Promise<void> {
  const wanted = parseMac(args.get("MAC") ?? "");
  if (wanted === undefined) return;
  const holder = (await endpointsIn(world, state)).find(({ mac, isRunning, ...one }) =>
    mac === wanted && isRunning && one.network === network && one.container !== containerId
  );
  if (!holder) return;
  throw new CniError("invalidConfig", `Cannot use MAC=${wanted}: container "${holder.container}" has it`);
}
