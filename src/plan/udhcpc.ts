import { findProgram, type World } from "./world.ts";

/** How long the first lease may take, in seconds; the default of the reference plugin's daemon. */
export const patience = 10;

/**
 * For the script that udhcpc runs at its events, in the directory of the client: writes the lease down as it is, for
 * `parseAnswer`.
 */
export const writeLease = "env -0 >new; mv new lease; : >log";

/** What a client is to ask, and to say of itself. */
export interface Asking {
  readonly ifname: string;
  readonly pidFile: string;
  /** The options that it asks for. */
  readonly request: readonly number[];
  /** By option, the bytes in hexadecimal. */
  readonly values?: ReadonlyMap<number, string>;
  /** Whether answers have to be broadcast. */
  readonly broadcast?: boolean;
}

/**
 * The words of a udhcpc that stays in the foreground, and gives its lease back when it is ended. /bin/sh reads its scripts
 * by the events' names, in the working directory: it could not execute a file in /run, which many mount noexec.
 */
export function clientWords({ ifname, pidFile, request, values, broadcast }: Asking): readonly string[] {
  return [
    ...["udhcpc", "-f", "-R", "-i", ifname, "-p", pidFile, "-s", "/bin/sh", "-t", "5", "-T", "2"],
    // Without a vendor's name, and asking for nothing but this.
    ...["-V", "", "-o", ...request.flatMap((code) => ["-O", String(code)])],
    ...[...values ?? []].flatMap(([code, bytes]) => ["-x", `${code}:${bytes}`]),
    ...(broadcast ? ["-B"] : []),
  ];
}

/** For a shell whose arguments are such words: takes busybox's client where there is no other. */
export const orBusybox = 'command -v udhcpc >/dev/null || set -- busybox "$@"';

/** Why there is no client to run, or undefined when there is one. */
export function clientProblem(world: World): string | undefined {
  if (["udhcpc", "busybox"].some((program) => findProgram(world, program) !== undefined)) return undefined;
  return 'neither program "udhcpc" nor "busybox" is on PATH; install udhcpc';
}
