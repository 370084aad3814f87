import type { Result } from "../../wire/cni/result.ts";
import { setLink } from "../../plan/ip.ts";
import type { Step } from "../../plan/step.ts";
import type { Context } from "./call.ts";

/**
 * Gives the container's link the MAC address that a later plugin is going to set, before a server is asked through it: a
 * server leases to the one that it sees (podman#1136). A link that was there before gets its own back.
 */
export function setLaterMac({ laterMac, at: { ifname } }: Context, made: Result): readonly Step[] {
  if (laterMac === undefined) return [];
  const set = (mac: string) => setLink("container", ifname, "address", mac);
  const { mac } = made.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined) ?? {};
  return [{ ...set(laterMac), ...(mac ? { undo: set(mac).run } : {}) }];
}

/** The result with that MAC address. */
export function withLaterMac({ laterMac, at: { ifname } }: Context, made: Result): Result {
  if (laterMac === undefined) return made;
  const isIt = ({ name, sandbox }: Result["interfaces"][number]) => name === ifname && sandbox !== undefined;
  return {
    ...made,
    interfaces: made.interfaces.map((link) => isIt(link) ? { ...link, mac: laterMac } : link),
  };
}
