import type { World } from "../plan/world.ts";

/** A socket that systemd listens on for us. */
export interface GivenSocket {
  readonly descriptor: number;
  readonly name: string;
}

/**
 * The sockets from systemd (sd_listen_fds(3)).
 * @param instead what to do where the runtime cannot take them
 * @throws Error on Deno, whose programs would inherit them, and which has no way to listen on them
 */
export function givenSockets(world: World, instead: string): readonly GivenSocket[] {
  const count = Number(world.env("LISTEN_FDS") ?? 0);
  if (world.env("LISTEN_PID") !== String(world.pid) || !(count > 0)) return [];
  if (world.runtime === "deno") {
    throw new Error(
      `Cannot take sockets from systemd on Deno, which would hand them on; set OCINET_RUNTIME=node, or ${instead}`,
    );
  }
  const names = (world.env("LISTEN_FDNAMES") ?? "").split(":");
  return Array.from({ length: count }, (_, i) => ({ descriptor: 3 + i, name: names[i] ?? "" }));
}
