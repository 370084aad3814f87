import type * as Dgram from "node:dgram";
import type * as Net from "node:net";
import type { ProxyVersion } from "../../net/proxy_protocol.ts";
import { onDeno } from "../runtime.ts";
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

/** A port that is forwarded. */
export interface Forward {
  /** Existing connections stay. */
  close(): void;
  /** Takes another server for the one that had to be closed. */
  goOn?(server: Net.Server): void;
}

/** What is known to whoever forwards a port. */
export interface Common {
  readonly request: Request;
  readonly room: Room;
  log(line: string): void;
}

/** An open port of the host's. */
export type Opened = Net.Server | Dgram.Socket;

/** A message to the inner process: to forward an opened port, which is sent along, or not to forward it any more. */
export interface Order {
  readonly id: number;
  readonly request?: Request;
}

/** A message from the inner process: it has done what it was ordered, or why it has not. The id 0 means that it is ready. */
export interface Report {
  readonly id: number;
  readonly problem?: string;
  /** It has had to close the port, and needs it once more. */
  readonly again?: boolean;
}

/** Deno always listens on `::` for both families. */
export function refusal(error: NodeJS.ErrnoException, { ipv6_only }: Request): Error {
  if (error.code !== "EADDRINUSE" || !ipv6_only || !onDeno) return error;
  return new Error(
    `${error.message}; with Deno, for whom :: is IPv4's addresses too, name an IPv6 address of the host's`,
  );
}

/** Whether a client of an IPv6 port is of the wrong family, which Deno's listening lets in. */
export function isForeign(address: string | undefined): boolean {
  return address?.startsWith("::ffff:") ?? false;
}
