import { messageOf } from "../../wire/cni/error.ts";
import { helper } from "./helper.ts";
import { lxcUserNic } from "./lxc_user_nic.ts";
import { parseOptions, type UplinkOptions } from "./options.ts";
import { pasta } from "./pasta.ts";
import { slirp4netns } from "./slirp4netns.ts";
import type { Uplink } from "./uplink.ts";

/** All uplinks, the preferred ones first. */
export const uplinks: readonly Uplink[] = [helper, lxcUserNic, pasta, slirp4netns];

/** Finds an uplink by name. */
export function uplinkNamed(name: string): Uplink | undefined {
  return uplinks.find((uplink) => uplink.name === name);
}

/** A requested uplink with its options. */
export interface WantedUplink {
  readonly uplink: Uplink;
  readonly options: UplinkOptions;
}

/** Reads `NAME[:KEY=VALUE,…]`. @throws Error naming the value and the reason */
export function parseUplink(text: string): WantedUplink {
  const [, name, rest = ""] = /^([^:]*)(?::(.*))?$/s.exec(text)!;
  try {
    const uplink = uplinkNamed(name!);
    if (!uplink) throw new Error(`there are ${uplinks.map(({ name }) => name).join(", ")}`);
    return { uplink, options: parseOptions(rest, uplink.keys) };
  } catch (error) {
    throw new Error(`Cannot use uplink ${JSON.stringify(text)}: ${messageOf(error)}`);
  }
}
