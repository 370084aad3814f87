import assert from "node:assert/strict";
import { test } from "node:test";
import { parseClusterConfig } from "./cluster_config.ts";

const base = { endpoints: ["http://192.0.2.9:2379"], underlay: "eth0" };
const parse = (more: Readonly<Record<string, unknown>> = {}) =>
  parseClusterConfig(JSON.stringify({ ...base, ...more }), "/etc/ocinet/cluster.json", "web1");

test("a cluster's file needs endpoints and the underlay; the rest follows", () => {
  assert.deepEqual(parse(), {
    ...{
      path: "/etc/ocinet/cluster.json",
      endpoints: ["http://192.0.2.9:2379"],
      prefix: "/ocinet/",
      name: "web1",
    },
    ...{ underlay: { link: "eth0" }, port: 4789, encryptionPort: 51871, leaseSeconds: 15 },
  });
  assert.deepEqual(parse({ underlay: "2001:DB8::1" }).underlay, { address: "2001:db8::1" });
  const tls = { ca: "/ca.pem", cert: "/c.pem", key: "/k.pem", user: "ocinet", passwordFile: "/p" };
  assert.deepEqual(
    Object.entries(parse(tls)).filter(([key]) => key in tls),
    Object.entries(tls).toSorted(byKey(tls)),
  );
});

function byKey(tls: object) {
  const order = ["ca", "cert", "key", "passwordFile", "user"].filter((key) => key in tls);
  return ([a]: [string, unknown], [b]: [string, unknown]) => order.indexOf(a) - order.indexOf(b);
}

test("what cannot be right in it is named", () => {
  for (
    const [more, reason] of [
      [{ endpoint: "x" }, /"endpoint" is no setting \(there are: endpoints, /],
      [{ encryptionAddress: "gateway" }, /"encryptionAddress" has to be an address/],
      [{ endpoints: [] }, /"endpoints" has to be a list/],
      [{ endpoints: ["192.0.2.9:2379"] }, /endpoint "192\.0\.2\.9:2379" is no address of the form/],
      [
        { endpoints: ["http://user:secret@host:1"] },
        /^(?!.*secret).*has a user or a password in it; use "user"/,
      ],
      [{ endpoints: ["user:secret@host:1"] }, /^(?!.*secret).*has a user or a password in it; use "user"/],
      [{ endpoints: ["ftp://host:1"] }, /is no address of the form/],
      [{ underlay: undefined }, /"underlay" is missing/],
      [{ underlay: "eth 0" }, /"underlay" "eth 0" is neither an address nor a link/],
      [{ port: 80 }, /"port" has to be a whole number from 1024 to 65535/],
      [{ leaseSeconds: "15" }, /"leaseSeconds" has to be a whole number/],
      [{ name: "a/b" }, /"name" "a\/b" cannot be used/],
      [{ prefix: "a b" }, /"prefix" "a b" may have/],
      [{ cert: "/c.pem" }, /"cert" and "key" need each other/],
      [{ user: "x" }, /"user" and "passwordFile" need each other/],
      [{ ca: "ca.pem" }, /"ca" has to be an absolute path/],
    ] as const
  ) {
    assert.throws(() => parse(more), reason);
  }
  assert.throws(() => parseClusterConfig("{", "/x", "h"), /no JSON/);
});
