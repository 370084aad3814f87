import { findProgram } from "./programs.ts";
import type { World } from "./world.ts";

/** The time limit for the first lease in seconds; the default of the reference plugin's daemon. */
export const timeoutSeconds = 10;

/** A script for udhcpc's events that stores the lease in the working directory, for `parseAnswer`. */
export const writeLease = "env -0 >new; mv new lease; : >log";

/** What the client asks for and sends. */
export interface Asking {
  readonly ifname: string;
  readonly pidFile: string;
  /** The option codes to request. */
  readonly request: readonly number[];
  /** The values to send, by option code, in hexadecimal. */
  readonly values?: ReadonlyMap<number, string>;
  /** Whether the server has to broadcast its answers. */
  readonly broadcast?: boolean;
}

/**
 * The command line of a udhcpc that stays in the foreground and releases its lease when it ends. /bin/sh reads the
 * script, which is named after the event in the working directory. udhcpc cannot execute a script in /run, which is
 * often mounted noexec.
 */
export function clientWords({ ifname, pidFile, request, values, broadcast }: Asking): readonly string[] {
  return [
    ...["udhcpc", "-f", "-R", "-i", ifname, "-p", pidFile, "-s", "/bin/sh", "-t", "5", "-T", "2"],
    // No vendor class is sent, and only these options are requested.
    ...["-V", "", "-o", ...request.flatMap((code) => ["-O", String(code)])],
    ...[...values ?? []].flatMap(([code, bytes]) => ["-x", `${code}:${bytes}`]),
    ...(broadcast ? ["-B"] : []),
  ];
}

/** A shell snippet that writes the scripts of $event, and for such arguments uses busybox's client if there is no other. */
export const withScripts = `for name in deconfig bound renew; do printf '%s\\n' "$event" >$name; done
command -v udhcpc >/dev/null || set -- busybox "$@"`;

/** The reason why no DHCP client can be run; undefined if one can. */
export function clientProblem(world: World): string | undefined {
  if (["udhcpc", "busybox"].some((program) => findProgram(world, program) !== undefined)) return undefined;
  return 'neither program "udhcpc" nor "busybox" is on PATH; install udhcpc';
}
