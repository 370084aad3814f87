import assert from "node:assert/strict";
import { test } from "node:test";
import { bill, packagesOf } from "./sbom.ts";

test("the bill names each bundled package once, with version, license and hash", () => {
  const sources = [
    "../src/main.ts",
    "../node_modules/a/x.js",
    "../node_modules/a/y.js",
    "../node_modules/@s/b/z.js",
  ];
  assert.deepEqual(packagesOf(sources), ["@s/b", "a"]);
  const locked = {
    "node_modules/a": { version: "1.0.0", license: "MIT", integrity: "sha512-AAEC" },
    "node_modules/@s/b": { version: "2.0.0" },
  };
  const build = { version: "0.1.0", sha256: "ab", sources, locked, created: new Date(86_400_000) };
  const made = bill(build) as {
    packages: { name: string; licenseDeclared: string; checksums?: unknown; externalRefs: unknown[] }[];
    creationInfo: { created: string };
    relationships: unknown[];
  };
  assert.equal(made.creationInfo.created, "1970-01-02T00:00:00Z");
  assert.deepEqual(made.packages.map(({ name, licenseDeclared }) => `${name} ${licenseDeclared}`), [
    ...["ocinet Apache-2.0", "@s/b NOASSERTION", "a MIT"],
  ]);
  assert.deepEqual(made.packages[2]!.checksums, [{ algorithm: "SHA512", checksumValue: "000102" }]);
  assert.equal(made.relationships.length, 3);
  assert.throws(() => bill({ ...build, locked: {} }), /Cannot describe package "@s\/b": package-lock\.json/);
});
