import { checkDirectory } from "../engine/trusted_path.ts";
import type { World } from "../plan/world.ts";
import type { Option } from "../wire/oci/options.ts";
import type { Report } from "./report.ts";

/** The option of a service that prints its units, or writes them into a directory. */
export const unitsOption: Option = {
  name: "units",
  value: "DIR",
  bare: true,
  text: "print its systemd units, or write them into a directory such as /etc/systemd/system",
  many: false,
  annotation: false,
};

/** What programs that make networks talk by; a service may need more. */
export const families = "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6";

/** What a service that makes networks for others does without (systemd.exec(5)). */
export const hardening = `NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM`;

/**
 * Writes systemd's units into a directory, or prints them where that is empty; of several each begins with its name.
 * @param texts by name
 * @param next what to do once they are in place
 */
export function unitsReport(
  world: World,
  directory: string,
  texts: Readonly<Record<string, string>>,
  next: string,
): Report {
  const units = Object.entries(texts);
  if (directory === "") {
    const text = units.length === 1
      ? units[0]![1]
      : units.map(([name, text]) => `# /etc/systemd/system/${name}\n${text}`).join("\n");
    return { json: texts, text };
  }
  checkDirectory(world, directory, `write units into ${directory}`, "name one elsewhere");
  const paths = units.map(([name, text]) => {
    world.write(`${directory}/${name}`, text, 0o644);
    return `${directory}/${name}`;
  });
  return { json: paths, text: `${paths.join("\n")}\n${next}\n` };
}

/** A word as systemd reads it in a command (systemd.service(5), "Command lines"). */
export function unitWord(word: string): string {
  const plain = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, "\\$&")}"`;
}
