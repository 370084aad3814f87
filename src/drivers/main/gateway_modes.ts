import { type Family, family } from "../../net/address.ts";
import type { PortMapping } from "../../net/port_mapping.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";

/** How containers of a bridge are reached, and reach others. */
const gatewayModes = ["nat", "nat-unprotected", "routed", "isolated"] as const;

export type GatewayMode = typeof gatewayModes[number];

/** One for each address family. */
export type GatewayModes = Readonly<Record<Family, GatewayMode>>;

const families = [4, 6] as const;

/** Our own option of bridge, portmap and firewall. @param usual the mode of a family that has none */
export function parseModes(conf: Fields, usual: GatewayMode = "nat"): GatewayModes {
  const found = conf.object("gatewayModes");
  // Networks that an earlier ocinet made say `routed` of both families.
  const rest = conf.boolean("routed") ? "routed" : usual;
  const [four, six] = families.map((family) => {
    const text = found?.string(`${family}`) ?? rest;
    return readMode(text, (reason) => {
      throw new CniError("invalidConfig", `Cannot use gateway mode ${JSON.stringify(text)}: ${reason}`);
    });
  });
  return { 4: four!, 6: six! };
}

/** @param refuse is called for another word, and throws */
export function readMode(text: string, refuse: (reason: string) => never): GatewayMode {
  return gatewayModes.find((one) => one === text) ?? refuse(`there are ${gatewayModes.join(", ")}`);
}

/** Whether an address is of a family that has the mode. */
export function hasMode(modes: GatewayModes, mode: GatewayMode) {
  return ({ address }: { readonly address: string }): boolean => modes[family(address)] === mode;
}

/** The published ports that are the host's: a family that is routed has them on the container's own address. */
export function portsOfHost(modes: GatewayModes, ports: readonly PortMapping[]): readonly PortMapping[] {
  return ports.filter((port) =>
    families.some((family) => modes[family] !== "routed" && (port.family ?? family) === family)
  );
}
