import type * as Fs from "node:fs";
import { parseAddress } from "../../net/address.ts";
import { parseResolvConf } from "../../net/resolv_conf.ts";
import { builtin } from "../node/builtin.ts";
import { readText } from "./directory.ts";

/**
 * The host's name servers, read again whenever the file has changed. One on the host's own loopback can be asked: we are
 * in the host's network.
 */
export function hostServers(path = "/etc/resolv.conf"): () => readonly string[] {
  let [stamp, servers]: [string, readonly string[]] = ["", []];
  return () => {
    const now = stampOf(path);
    if (now !== stamp) {
      stamp = now;
      const { nameservers = [] } = parseResolvConf(readText(path));
      servers = [...new Set(nameservers)].filter((server) => parseAddress(server.split("%")[0]!));
    }
    return servers;
  };
}

function stampOf(path: string): string {
  try {
    const { mtimeMs, ino, size } = builtin<typeof Fs>("node:fs").statSync(path);
    return `${mtimeMs} ${ino} ${size}`;
  } catch {
    return "none";
  }
}
