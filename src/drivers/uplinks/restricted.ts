import { line, type Step } from "../../plan/step.ts";

/** Answers go out by the default route, so that has to stay; who has power over the namespace could take this away. */
export const noWayOut: Step = line(
  ...["nft", "container", { kind: "table", table: "inet ocinet_restricted" }] as const,
  "table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
    "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
  { undo: "delete table inet ocinet_restricted" },
);
