import { element } from "./nft.ts";
import { type Line, words } from "./step.ts";

/** Our table of the bridge family, there only once somebody checks MAC addresses. */
export const bridgeTable: string = [
  "add table bridge ocinet",
  "add set bridge ocinet checked { type ifname; }",
  "add set bridge ocinet allowed { type ifname . ether_addr; }",
  "add chain bridge ocinet prerouting { type filter hook prerouting priority -300; policy accept; }",
  "flush chain bridge ocinet prerouting",
  "add rule bridge ocinet prerouting iifname @checked iifname . ether saddr != @allowed drop",
  "",
].join("\n");

/** Takes that table away with all that is in it. */
export const dropBridgeTable = "add table bridge ocinet\ndelete table bridge ocinet\n";

/** Frames from a bridge port pass only with one source address. */
export function allowOnlyMac(port: string, mac: string): readonly Line[] {
  return [
    element("bridge ocinet allowed", words`"${port}" . ${mac}`),
    element("bridge ocinet checked", words`"${port}"`),
  ];
}
