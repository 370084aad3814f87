/**
 * What a start of the reference plugin's daemon is answered. It is no failure: addresses come by DHCP without it, and a
 * service that has it for a command should not be one that failed.
 */
export const noDaemon =
  "ocinet: no DHCP daemon is needed, and none was started: each container that has addresses by " +
  '"dhcp" has a udhcpc of its own, which ends with it; a "daemonSocketPath" is passed over, and may be left out. ' +
  "Where a service starts it again and again, disable that (systemctl disable --now cni-dhcp.socket cni-dhcp.service)\n";
