/**
 * A software bill of materials: what is bundled in dist/ocinet, as SPDX 2.3 in JSON. What that is, its source map says;
 * versions, licenses and hashes are those of package-lock.json.
 */
import { createHash } from "node:crypto";

/** What package-lock.json says of a package. */
interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
}

/** What a bill is made of. */
export interface Build {
  readonly version: string;
  /** The file's SHA-256, in hexadecimal. */
  readonly sha256: string;
  /** Paths of the modules in it, from its directory. */
  readonly sources: readonly string[];
  /** The packages of package-lock.json, by their paths. */
  readonly locked: Readonly<Record<string, Locked>>;
  readonly created: Date;
}

/** Names of the packages that modules are of, in the order of the alphabet. */
export function packagesOf(sources: readonly string[]): readonly string[] {
  const names = sources.flatMap((path) =>
    /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []
  );
  return [...new Set(names)].sort();
}

/** @throws Error for a package that the lock file does not have */
export function bill({ version, sha256, sources, locked, created }: Build): unknown {
  const bundled = packagesOf(sources).map((name) => ({ name, entry: entryOf(locked, name) }));
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `ocinet-${version}`,
    documentNamespace: `https://spdx.org/spdxdocs/ocinet-${version}-${sha256}`,
    creationInfo: {
      created: created.toISOString().replace(/\.\d+Z$/, "Z"),
      creators: ["Tool: ocinet-scripts-sbom"],
    },
    packages: [
      described("ocinet", version, "Apache-2.0", { algorithm: "SHA256", checksumValue: sha256 }),
      ...bundled.map(({ name, entry }) =>
        described(name, entry.version, entry.license ?? "NOASSERTION", checksumOf(entry))
      ),
    ],
    relationships: [
      relationship("SPDXRef-DOCUMENT", "DESCRIBES", idOf("ocinet")),
      ...bundled.map(({ name }) => relationship(idOf("ocinet"), "CONTAINS", idOf(name))),
    ],
  };
}

function entryOf(locked: Build["locked"], name: string): Locked {
  const entry = locked[`node_modules/${name}`];
  if (!entry) throw new Error(`Cannot describe package "${name}": package-lock.json does not have it`);
  return entry;
}

function described(name: string, version: string, license: string, checksum: object | undefined) {
  return {
    ...{
      SPDXID: idOf(name),
      name,
      versionInfo: version,
      downloadLocation: "NOASSERTION",
      filesAnalyzed: false,
    },
    ...{ licenseConcluded: license, licenseDeclared: license, copyrightText: "NOASSERTION" },
    ...checksum === undefined ? {} : { checksums: [checksum] },
    externalRefs: [{
      referenceCategory: "PACKAGE-MANAGER",
      referenceType: "purl",
      referenceLocator: `pkg:npm/${name.replace(/^@/, "%40")}@${version}`,
    }],
  };
}

/** An integrity of npm is the hash in base64. */
function checksumOf({ integrity }: Locked): object | undefined {
  const hash = /^sha512-(.+)$/.exec(integrity ?? "")?.[1];
  return hash === undefined
    ? undefined
    : { algorithm: "SHA512", checksumValue: Buffer.from(hash, "base64").toString("hex") };
}

function idOf(name: string): string {
  return `SPDXRef-Package-${name.replace(/[^A-Za-z0-9.-]/g, "-")}`;
}

function relationship(spdxElementId: string, relationshipType: string, relatedSpdxElement: string) {
  return { spdxElementId, relationshipType, relatedSpdxElement };
}

if (import.meta.main) {
  const json = (path: string) => JSON.parse(Deno.readTextFileSync(path));
  const { sources } = json("dist/ocinet.map") as { sources: readonly string[] };
  if (Deno.args[0] === "names") console.log(packagesOf(sources).join("\n"));
  else {
    const made = bill({
      version: json("package.json").version,
      sha256: createHash("sha256").update(Deno.readFileSync("dist/ocinet")).digest("hex"),
      sources,
      locked: json("package-lock.json").packages,
      created: new Date(Number(Deno.env.get("SOURCE_DATE_EPOCH")) * 1000),
    });
    console.log(JSON.stringify(made, null, 2));
  }
}
