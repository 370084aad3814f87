import type { ProxyVersion } from "../../net/proxy_protocol.ts";
import { onDeno } from "../runtime.ts";
import type { Destination } from "./inside.ts";
import type { Room } from "./room.ts";

/** A request for a port, in slirp4netns's format (slirp4netns(1), API) with a few more fields. */
export interface Request {
  readonly proto: "tcp" | "udp";
  /** `::` also means IPv4's addresses, unless `ipv6_only` is set. */
  readonly host_addr: string;
  readonly ipv6_only?: boolean;
  readonly host_port: number;
  readonly guest_addr: string;
  /** Used if no program listens on the other address. */
  readonly guest_addr6?: string;
  readonly guest_port: number;
  readonly proxy_protocol?: ProxyVersion;
}

/** A port that is listened on. */
export interface Forward {
  /** Existing connections stay. */
  close(): void;
}

/** What all ports share. */
export interface Common {
  /** The path of the socket of `relayInside`. */
  readonly inside: string;
  readonly room: Room;
  log(line: string): void;
}

/** The first line to the inner process. */
export function destinationLine({ proto, guest_addr, guest_addr6, guest_port }: Request): string {
  const hosts = guest_addr6 === undefined ? [guest_addr] : [guest_addr, guest_addr6];
  const destination: Destination = { proto, hosts, port: guest_port };
  return `${JSON.stringify(destination)}\n`;
}

/** Deno always listens on `::` for both families. */
export function refusal(error: NodeJS.ErrnoException, { ipv6_only }: Request): Error {
  if (error.code !== "EADDRINUSE" || !ipv6_only || !onDeno) return error;
  return new Error(
    `${error.message}; with Deno, for whom :: is IPv4's addresses too, name an IPv6 address of the host's`,
  );
}

/** Whether a client is of the wrong family, which Deno's listening lets in. */
export function isForeign({ ipv6_only }: Request, address: string | undefined): boolean {
  return ipv6_only === true && address !== undefined && address.startsWith("::ffff:");
}
