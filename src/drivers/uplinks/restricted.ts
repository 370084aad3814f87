import { line, type Step } from "../../plan/step.ts";

/**
 * Rejects outgoing connections. The default route must stay, because answers use it. A process with CAP_NET_ADMIN in
 * the namespace could remove this rule.
 */
export const noWayOut: Step = line(
  ...["nft", "container", { kind: "table", table: "inet ocinet_restricted" }] as const,
  "table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
    "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
  { undo: "delete table inet ocinet_restricted" },
);
