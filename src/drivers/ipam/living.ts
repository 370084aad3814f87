import { family, parseAddress } from "../../net/address.ts";
import { parseElements } from "../../plan/nft/listing.ts";
import { createWithDirectory, readUndamagedFile } from "../../plan/files.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";

/**
 * Reserves again the addresses of containers that run, where the directory of reservations is not there: it may have been
 * emptied. Our rules say which container has which address; one whose link is gone has none. They do not say on which
 * network, and two networks may have one subnet: what another directory beside this one reserves, or is recorded of
 * other networks, is not reserved again.
 * @param other where the same network's addresses may be reserved as well
 * @param isWanted tells the addresses that the directory is for
 */
export async function reserveLiving(
  world: World,
  at: Attachment,
  directory: string,
  other: string | undefined,
  families: readonly (4 | 6)[],
  isWanted: (address: string) => boolean,
): Promise<void> {
  const listed = await Promise.all(families.map(async (of) => {
    const argv = ["nft", "list", "set", "inet", "ocinet", `members${of}`];
    return parseElements((await world.run(argv, { looks: true })).stdout);
  }));
  for (const { key, owner = "" } of listed.flat()) {
    const [address, [id, link]] = [parseAddress(key.split(" . ")[1] ?? ""), owner.split(" ")];
    if (!address || !id || !link || !isWanted(address) || !/^[\w.-]+$/.test(link)) continue;
    if ([directory, other].some((one) => one && isReservedBeside(world, one, address, id))) continue;
    if (isElsewhere(world, at, id)) continue;
    // Without an interface, as plugins before 0.8 wrote it: that is not known any more.
    if (world.stat(`/proc/sys/net/ipv4/conf/${link}`)) {
      createWithDirectory(world, `${directory}/${address}`, id);
    }
  }
}

/** Whether a container has the address on another network. */
function isReservedBeside(world: World, directory: string, address: string, id: string): boolean {
  const above = directory.slice(0, directory.lastIndexOf("/"));
  return world.list(above).some((network) =>
    readUndamagedFile(world, `${above}/${network}/${address}`)?.trim().split(/\s/)[0] === id
  );
}

/** Whether there are records of the container on networks, and none on this one. */
function isElsewhere(world: World, { leases = "", network }: Attachment, id: string): boolean {
  const above = leases.slice(0, leases.lastIndexOf("/"));
  const records = world.list(`${above}/containers/${id}`).filter((name) => name.includes(" "));
  return records.length > 0 && !records.some((name) => name.startsWith(`${network} `));
}

/** The families of addresses. */
export function familiesOf(addresses: readonly string[]): readonly (4 | 6)[] {
  return [...new Set(addresses.map(family))];
}
