import type { World } from "../plan/world.ts";
import { isRoot } from "../engine/user.ts";
import type { OptionValues } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";
import { families, unitsReport, unitWord } from "./units.ts";

/**
 * The agent's unit for systemd. Calls are served only in the namespaces of the agent, so nothing in it may make any
 * (ProtectSystem= and the like do). Programs that a call leaves running are in its control group, and have to outlive it.
 */
export function agentUnit(world: World, directory: string, given: OptionValues): Report {
  const words = ["workers", "page"].flatMap((name) =>
    (given.get(name) ?? []).slice(-1).map((value) => `--${name}${value === "" ? "" : `=${value}`}`)
  );
  const text = `[Unit]
Description=Calls of ocinet without the start of a runtime, and networks over several hosts
Documentation=man:ocinet(1)
After=network.target

[Service]
Type=exec
ExecStart=${[world.self.at(-1)!, "agent", ...words].map(unitWord).join(" ")}
Restart=on-failure
KillMode=process
OOMPolicy=continue
${isRoot(world) ? hardening : ""}
[Install]
WantedBy=${isRoot(world) ? "multi-user" : "default"}.target
`;
  const next = `systemctl ${isRoot(world) ? "" : "--user "}enable --now ocinet-agent`;
  return unitsReport(world, directory, { "ocinet-agent.service": text }, next);
}

/** What no network needs. */
const denied = [
  ...["AUDIT_CONTROL", "BLOCK_SUSPEND", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "SYSLOG", "SYS_BOOT"],
  ...["SYS_MODULE", "SYS_PACCT", "SYS_RAWIO", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"],
].map((name) => `CAP_${name}`).join(" ");

const hardening = `CapabilityBoundingSet=~${denied}
LockPersonality=yes
${families} AF_PACKET
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
`;
