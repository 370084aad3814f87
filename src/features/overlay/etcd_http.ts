/** One request to one endpoint, and what is wrong with the connection to it. */
import type { HttpAnswer } from "../../plan/http.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { ClusterConfig } from "./cluster_config.ts";
import { EtcdError } from "./etcd_error.ts";
import { tlsOf } from "./etcd_secrets.ts";
import type { Json } from "./etcd_wire.ts";

/** What an endpoint is asked. */
interface Post {
  readonly path: string;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  readonly timeoutMs: number;
}

/** Asks an endpoint. @throws EtcdError */
export async function post(
  world: World,
  config: ClusterConfig,
  at: number,
  { path, body, ...more }: Post,
): Promise<HttpAnswer> {
  const url = `${config.endpoints[at]}${path}`;
  return await world.http({ url, body: JSON.stringify(body), tls: tlsOf(world, config), ...more })
    .catch((error) => {
      throw unreachable(messageOf(error));
    });
}

/** What it answers. @throws EtcdError */
export function parseAnswer({ status, body }: HttpAnswer): Json {
  try {
    // An answer of a stream has lines; the first is the one.
    return JSON.parse(body.trim().split("\n")[0] ?? "") as Json;
  } catch {
    if (/CommonName/.test(body)) {
      throw new EtcdError(
        'Cannot use etcd with users and a client certificate that has a common name; make "cert" anew without one',
      );
    }
    throw unreachable(`it answered with status ${status} and no JSON`);
  }
}

/** What a client says of a connection that fails by TLS, and what is to be done. Deno and Node have words of their own. */
const tlsRemedies: readonly (readonly [RegExp, string])[] = [
  [/ alert/, 'set "cert" to a valid one of etcd\'s authority'],
  [/verify the|self.signed|unable to get/, 'set "ca" to the authority of etcd\'s certificate'],
  [/altnames/, '"endpoints" has to name etcd as its certificate does'],
  [/has expired|not yet valid/, "renew etcd's certificate, or set the clock"],
  [/values mismatch|unsupported protocol/, '"key" is not that of "cert"'],
  [/hang up|before secure TLS|no JSON/, 'is it http:// or https:// in "endpoints"?'],
];

/** Why it could not be asked, with the remedy where that is one of TLS. */
function unreachable(reason: string): EtcdError {
  const remedy = tlsRemedies.find(([pattern]) => pattern.test(reason))?.[1];
  return new EtcdError(remedy === undefined ? reason : `${reason} (${remedy})`, true);
}
