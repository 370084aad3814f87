import { type Agent, etcdOf } from "./agent_state.ts";
import type { Mirror } from "./mirror.ts";

/** What this host tells the others with its lease. */
interface Told {
  /** All that hosts tell of it, below the prefix. */
  readonly mirror: Mirror;
  readonly prefix: string;
  /** What was told last, by key, with the lease. */
  readonly published: Map<string, string>;
  /** Whether a key is this host's. */
  isOwn(key: string): boolean;
}

/** Tells what is wanted, and takes back what is not any more. @throws EtcdError */
export async function publish(
  agent: Agent,
  { mirror, prefix, published, isOwn }: Told,
  wanted: ReadonlyMap<string, string>,
): Promise<void> {
  const { lease } = agent;
  if (lease === undefined || !mirror.synced) return;
  for (const [key, value] of wanted) {
    const told = `${lease} ${value}`;
    if (mirror.entries.get(key)?.value === value && published.get(key) === told) continue;
    await etcdOf(agent).change([], [{ put: prefix + key, value, lease }]);
    published.set(key, told);
    mirror.note(key, { key: prefix + key, value, created: "0", modified: "0" });
  }
  for (const key of mirror.entries.keys()) {
    if (!isOwn(key) || wanted.has(key)) continue;
    await etcdOf(agent).change([], [{ delete: prefix + key }]);
    published.delete(key);
    mirror.note(key, undefined);
  }
}
