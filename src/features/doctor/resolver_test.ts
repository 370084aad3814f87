import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import type { World } from "../../plan/world.ts";
import { resolverChecks } from "./resolver.ts";

const text = '# {"listen":["10.5.0.1/24"],"internal":false,"servers":[]}\n10.5.0.2 web';

/** What is said of a machine with these files below names, and a resolver that answers so. */
async function said(
  files: Readonly<Record<string, string>>,
  request: World["request"],
): Promise<readonly string[]> {
  const fake = newFake();
  for (const [path, text] of Object.entries(files)) fake.place(`/run/ocinet/names/${path}`, text);
  const found = await resolverChecks[0]!.look({ ...fake.world, request });
  return found.map(({ status, found, remedy }) =>
    [`${status}: ${found}`, ...(remedy ? [remedy] : [])].join("; ")
  );
}

test("doctor says whether the resolver serves the networks that ask it", async () => {
  const answering = (addresses: object[]) => () => Promise.resolve(JSON.stringify({ return: { addresses } }));
  const dead = () => Promise.reject(new Error("connection refused"));
  assert.deepEqual(await said({}, dead), []);
  assert.deepEqual(await said({ "red/web eth0": "10.6.0.2 web" }, dead), []);
  assert.deepEqual(await said({ "shop/web eth0": text }, answering([])), ["ok: serves shop"]);
  assert.deepEqual(await said({ "shop/web eth0": text }, dead), [
    "warning: does not run, and the containers of shop find no names; ocinet repair web",
  ]);
  const taken = [{ address: "10.5.0.1", network: "shop", problem: "EADDRINUSE" }];
  assert.deepEqual(await said({ "shop/web eth0": text }, answering(taken)), [
    "warning: cannot serve network shop: 10.5.0.1 port 53: EADDRINUSE; see which program has the port: ss -lnp 'sport = 53'",
  ]);
});
