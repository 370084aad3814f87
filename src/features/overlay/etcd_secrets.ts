/** The files by which a client shows etcd who it is. */
import type { World } from "../../plan/world.ts";
import type { ClusterConfig } from "./cluster_config.ts";
import { EtcdError } from "./etcd_error.ts";

/** The PEM texts for TLS, read anew each time: files are replaced. @throws EtcdError */
export function tlsOf(world: World, { ca, cert, key }: ClusterConfig) {
  return {
    ...(ca === undefined ? {} : { ca: pem(ca, textOf(world, ca)) }),
    ...(cert === undefined ? {} : { cert: pem(cert, textOf(world, cert)) }),
    ...(key === undefined ? {} : { key: pem(key, secretOf(world, key)) }),
  };
}

/** What TLS says of anything else depends on the runtime, and names no file. */
function pem(path: string, text: string): string {
  if (text.includes("-----BEGIN ")) return text;
  throw new EtcdError(`Cannot use ${path}: it is no PEM file`);
}

function textOf(world: World, path: string): string {
  const text = world.read(path);
  if (text === undefined) throw new EtcdError(`Cannot read ${path}: there is no such file`);
  return text;
}

/** A file that its owner alone may read. @throws EtcdError */
export function secretOf(world: World, path: string): string {
  if (((world.stat(path)?.mode ?? 0) & 0o077) === 0) return textOf(world, path);
  throw new EtcdError(`Cannot use ${path}: others may read it; chmod 600 ${path}`);
}
