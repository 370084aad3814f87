import { family } from "../net/address.ts";
import type { Destination } from "../net/egress.ts";
import { type Line, line, words } from "./step.ts";

/** A destination whose name has been resolved. */
export type Resolved = Omit<Destination, "name">;

/**
 * Allows traffic from the container, and traffic that it forwards, to these destinations only. Answers to incoming
 * connections are allowed. The rules are in the container's own namespace, so they hold for every uplink. A process
 * with CAP_NET_ADMIN in the container can remove them.
 */
export function allowOnly(destinations: readonly Resolved[]): Line {
  const chains = ["output", "forward"].map((hook) =>
    `chain ${hook} { type filter hook ${hook} priority 0; jump allowed; reject with icmpx admin-prohibited; };`
  );
  const always = [
    "oifname lo accept;",
    "ct state established,related accept;",
    // IPv6 neighbour discovery needs these (RFC 4861).
    "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept;",
  ];
  const run =
    `table inet ocinet_egress { chain allowed { ${[...always, ...destinations.map(accept)].join(" ")} }; ` +
    `${chains.join(" ")} }`;
  return line("nft", "container", { kind: "table", table: "inet ocinet_egress" }, run, {
    undo: "delete table inet ocinet_egress",
  });
}

function accept({ prefix, ports, protocol }: Resolved): string {
  const to = prefix === undefined
    ? ""
    : family(prefix) === 4
    ? words`ip daddr ${prefix} `
    : words`ip6 daddr ${prefix} `;
  if (!ports) return `${to}accept;`;
  const layer = protocol ? words`${protocol} ` : "meta l4proto { tcp, udp } th ";
  return to + layer + words`dport ${`${ports.first}-${ports.last}`} accept;`;
}
