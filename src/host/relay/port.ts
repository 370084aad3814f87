import type { ProxyVersion } from "../../net/proxy_protocol.ts";
import { onDeno } from "../runtime.ts";
import type { Destination } from "./inside.ts";
import type { Room } from "./room.ts";

/** What is asked for, in slirp4netns's words (slirp4netns(1), API) and a few more. */
export interface Request {
  readonly proto: "tcp" | "udp";
  /** `::` is IPv4's addresses too, unless `ipv6_only`. */
  readonly host_addr: string;
  readonly ipv6_only?: boolean;
  readonly host_port: number;
  readonly guest_addr: string;
  /** Where nobody listens on the other. */
  readonly guest_addr6?: string;
  readonly guest_port: number;
  readonly proxy_protocol?: ProxyVersion;
}

/** A port that is listened on. */
export interface Forward {
  /** Those who are connected stay so. */
  close(): void;
}

/** What all ports have in common. */
export interface Common {
  /** Path of the socket that `relayInside` listens on. */
  readonly inside: string;
  readonly room: Room;
  log(line: string): void;
}

/** The first line that the inside is told. */
export function destinationLine({ proto, guest_addr, guest_addr6, guest_port }: Request): string {
  const hosts = guest_addr6 === undefined ? [guest_addr] : [guest_addr, guest_addr6];
  const destination: Destination = { proto, hosts, port: guest_port };
  return `${JSON.stringify(destination)}\n`;
}

/** Deno listens on `::` for both families, whatever it is told. */
export function refusal(error: NodeJS.ErrnoException, { ipv6_only }: Request): Error {
  if (error.code !== "EADDRINUSE" || !ipv6_only || !onDeno) return error;
  return new Error(
    `${error.message}; with Deno, for whom :: is IPv4's addresses too, name an IPv6 address of the host's`,
  );
}

/** So whom it lets in may be of the other family. */
export function isForeign({ ipv6_only }: Request, address: string | undefined): boolean {
  return ipv6_only === true && address !== undefined && address.startsWith("::ffff:");
}
