import { plain, portsAt, portTexts, wayText } from "./blocks.ts";
import type { NetworkMap } from "./model.ts";

/** The columns of a map as a table, for those who do not see it drawn. */
export const columns = ["Container", "State", "Network", "Interface", "Addresses", "Ports", "World"] as const;

/** A map as a table: a row for each interface, and for each container without one. */
export function rowsOf(map: NetworkMap): readonly (readonly string[])[] {
  const ways = new Map(
    map.networks.map(({ name }) => [
      name,
      map.ways.filter((way) => way.network === name).map(wayText).join("; "),
    ]),
  );
  return map.containers.flatMap((container) => {
    const { id, state, interfaces } = container;
    const portsOn = (network?: string) => portTexts(portsAt(map, container, network)).join(", ");
    if (interfaces.length === 0) return [[id, state, "", "", "", portsOn(), ""].map(plain)];
    return interfaces.map(({ network, ifname, ips }) =>
      [id, state, network, ifname, ips.join(", "), portsOn(network), ways.get(network) ?? ""].map(plain)
    );
  });
}
