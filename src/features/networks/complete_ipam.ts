import type { Family } from "../../net/address.ts";
import type { World } from "../../plan/world.ts";
import type { Network } from "./catalog.ts";
import { freeSubnet } from "./free_subnet.ts";
import { type IpamConfig, overlaps, usualGateway } from "./ipam_options.ts";

/** A network whose subnets are to be found. */
export interface IpamWanted {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly given: readonly IpamConfig[];
  readonly ipv6: boolean;
}

/** A subnet of another network. */
export interface OtherSubnet {
  readonly Subnet: string;
  readonly of: string;
}

/** The subnets of networks. */
export function subnetsOf(networks: readonly Network[]): readonly OtherSubnet[] {
  // A configuration has no addresses yet.
  return networks.filter(({ configOnly }) => !configOnly).flatMap((network) =>
    network.ipam.map(({ Subnet }) => ({ Subnet, of: network.name }))
  );
}

/** @throws Error for a subnet that is another network's */
export function refuseOverlaps({ name, given }: IpamWanted, others: readonly OtherSubnet[]): void {
  for (const { Subnet } of given) {
    const other = others.find((one) => overlaps(one.Subnet, Subnet));
    if (other) {
      throw new Error(
        `Pool overlaps with other one on this address space: ${Subnet} of network ${name} and ` +
          `${other.Subnet} of network ${other.of}`,
      );
    }
  }
}

/** The families of which a subnet has to be found. */
export function missingOf({ given, ipv6 }: IpamWanted): readonly Family[] {
  const has = (of: Family) => given.some(({ Subnet }) => Subnet.includes(":") === (of === 6));
  return [
    ...(has(4) || (has(6) && !ipv6) ? [] : [4 as const]),
    ...(ipv6 && !has(6) ? [6 as const] : []),
  ];
}

/** The subnets that are given, those that have to be found, and their gateways. @throws Error when one is another's */
export async function completeIpam(
  world: World,
  networks: readonly Network[],
  wanted: IpamWanted,
): Promise<readonly IpamConfig[]> {
  const { id, driver, given } = wanted;
  const others = subnetsOf(networks);
  refuseOverlaps(wanted, others);
  checkFamilies(driver, given);
  const taken = others.map(({ Subnet }) => Subnet);
  const found = await Promise.all(missingOf(wanted).map((of) => freeSubnet(world, of, id, taken)));
  return [...found.map((Subnet): IpamConfig => ({ Subnet })), ...given]
    .sort((a, b) => Number(a.Subnet.includes(":")) - Number(b.Subnet.includes(":")))
    .map((config) => ({ ...config, Gateway: config.Gateway ?? usualGateway(config) }));
}

/** A bridge has one subnet of each family. */
export function checkFamilies(driver: string, given: readonly IpamConfig[]): void {
  const several = [true, false].some((six) =>
    given.filter(({ Subnet }) => Subnet.includes(":") === six).length > 1
  );
  if (several) throw new Error(`${driver} driver doesn't support multiple subnets`);
}
