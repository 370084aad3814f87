import type * as Dgram from "node:dgram";
import type * as Fs from "node:fs";
import { builtin } from "../node/builtin.ts";
import { onDeno } from "../runtime.ts";
import { linkExists as existsOnDeno, openDatagrams as openOnDeno } from "../deno/datagrams.ts";

/** The other end of a datagram. */
export interface Remote {
  readonly address: string;
  readonly port: number;
}

/** Hears a datagram. */
export type Hear = (datagram: Uint8Array, from: Remote) => void;

/** A socket for datagrams. */
export interface Datagrams {
  /** What cannot be sent is lost, as on the way. */
  send(datagram: Uint8Array, to: Remote): void;
  close(): void;
}

/**
 * Opens a socket for datagrams. Deno's Node layer is ten times slower than its own sockets, and loses answers among many
 * (2.9.5).
 * @param at port 0 is one that the kernel chooses
 * @throws Error when the address cannot be had
 */
export function openDatagrams(at: Remote, hear: Hear): Promise<Datagrams> {
  return onDeno ? openOnDeno(at, hear) : openOnNode(at, hear);
}

/** Whether a link is in our network namespace. */
export function linkExists(name: string): boolean {
  return onDeno
    ? existsOnDeno(name)
    : builtin<typeof Fs>("node:fs").existsSync(`/proc/sys/net/ipv4/conf/${name}`);
}

function openOnNode({ address, port }: Remote, hear: Hear): Promise<Datagrams> {
  const socket = builtin<typeof Dgram>("node:dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
  // What slices a Buffer of Node's goes on sharing its memory.
  socket.on("message", (datagram, from) => hear(new Uint8Array(datagram), from));
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port }, () => {
      socket.removeAllListeners("error").on("error", () => {});
      resolve({
        send: (datagram, to) => socket.send(datagram, to.port, to.address, () => {}),
        close: () => void socket.close(),
      });
    });
  });
}
