import type { ClusterConfig } from "./cluster_config.ts";
import type { Json } from "./etcd_wire.ts";

/** Why etcd did not do what was asked. */
export class EtcdError extends Error {
  /** It could not be asked, as opposed to one that it refused. */
  readonly unreachable: boolean;
  /** What was to go with a lease was refused, because the lease has ended. */
  leaseEnded?: true;
  constructor(message: string, unreachable = false) {
    super(message);
    this.unreachable = unreachable;
  }
}

/** What etcd says is wrong, as plain text. */
export function saidIn(json: Json): string {
  const nested = json["error"];
  const said = json["message"] ?? (typeof nested === "object" ? (nested as Json)["message"] : nested);
  return String(said ?? "it gave no reason").replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 300);
}

/** Why it did not do what was asked, with the remedy. */
export function refusal(
  { prefix, user, path, passwordFile }: ClusterConfig,
  status: number,
  json: Json,
): EtcdError {
  const said = saidIn(json);
  if (/no leader|deadline|unavailable|not started|leader changed/i.test(said)) {
    return new EtcdError(said, true);
  }
  if (/space exceeded/i.test(said)) {
    return new EtcdError(
      "Cannot write to etcd: it is full (NOSPACE); compact and defragment it, then disarm the alarm",
    );
  }
  const remedy = /permission denied|user name is empty/i.test(said)
    ? `give the user rights on ${prefix}, or change "user" in ${path}`
    : /authentication failed/i.test(said)
    ? `put the user's password into ${passwordFile}, or change "user" in ${path}`
    : /authentication is not enabled/i.test(said)
    ? `have etcd ask for users ("etcdctl auth enable"), or take "user" and "passwordFile" out of ${path}`
    : undefined;
  if (remedy) {
    return new EtcdError(
      `Cannot use etcd ${user === undefined ? "without a user" : `as ${user}`}: ${said}; ${remedy}`,
    );
  }
  if (/lease not found/i.test(said)) {
    return Object.assign(new EtcdError("The host's lease in etcd has ended; it enters the cluster anew"), {
      leaseEnded: true as const,
    });
  }
  return new EtcdError(`Cannot do it in etcd: ${said} (status ${status})`, status >= 500);
}
