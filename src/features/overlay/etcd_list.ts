import { encode, endOf, type Json, keysOf, type KeyValue, type Listing } from "./etcd_wire.ts";

/** Keys of one page. */
const page = 2000;

type Ask = (path: string, body: unknown) => Promise<Json>;

/** All keys under a prefix as of one revision, page by page. @param heard is called with each */
export async function list(ask: Ask, prefix: string, heard = () => {}): Promise<Listing> {
  const keys: KeyValue[] = [];
  const [end, limit] = [encode(endOf(prefix)), String(page)];
  let [key, revision] = [encode(prefix), "0"];
  for (;;) {
    const answer = await ask("/v3/kv/range", { key, range_end: end, limit, revision });
    if (revision === "0") revision = String((answer["header"] as Json)["revision"]);
    const found = keysOf(answer);
    keys.push(...found);
    heard();
    if (answer["more"] !== true || found.length === 0) return { revision, keys };
    // As etcd has it: a key need not be text.
    const last = (answer["kvs"] as readonly Json[]).at(-1)!["key"];
    key = btoa(`${atob(String(last))}\0`);
  }
}
