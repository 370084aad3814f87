import assert from "node:assert/strict";
import { test } from "node:test";
import { element } from "../plan/nft/element.ts";
import type { World } from "../plan/world.ts";
import { trustSubnets, untrusted } from "./firewalld.ts";
import { keptChanges } from "./kept_changes.ts";

const subnets = ["10.1.0.0/16", "fd00:1::/64"];
const steps = subnets.map((subnet) =>
  element(`inet ocinet subnets${subnet.includes(":") ? 6 : 4}`, `"br0" . 10.1.0.2 . ${subnet}`)
);

/** A host whose firewalld has sources in zones, and all that it was asked, as "method words". */
function hostWith(zones: Map<string, string>, { netns = "net:[1]", refuses = "" } = {}) {
  const [files, asked, warned] = [new Map([["/run/firewalld.pid", "812\n"]]), [] as string[], [] as string[]];
  const answer = (method: string, [zone, subnet]: readonly string[]) => {
    if (method === "getZoneOfSource") return `s "${zones.get(zone!) ?? ""}"\n`;
    if (refuses !== "") return new Error(refuses);
    if (method === "removeSource") {
      return zones.delete(subnet!) ? 's "trusted"\n' : new Error("UNKNOWN_SOURCE");
    }
    if (zones.has(subnet!)) return new Error("Call failed: ZONE_ALREADY_SET: it is bound to 'trusted'");
    zones.set(subnet!, zone!);
    return `s "${zone}"\n`;
  };
  const world = {
    env: (name: string) => name === "OCINET_STATE_DIR" ? "/state" : undefined,
    uid: 0,
    read: (path: string) => files.get(path),
    readLink: (path: string) => {
      if (path.startsWith("/proc/812/") && netns === "") throw new Error("permission denied");
      return path.startsWith("/proc/812/") ? netns : "net:[1]";
    },
    stat: (path: string) => files.has(path) ? {} : undefined,
    list: (path: string) => [...files.keys()].flatMap((name) => name.split(`${path}/`)[1] ?? []),
    create: (path: string, text: string) => !files.has(path) && files.set(path, text) && true,
    remove: (path: string) => files.delete(path),
    ...{ makeDirectory: () => {}, removeEmpty: () => {}, warn: (line: string) => warned.push(line) },
    run: (argv: readonly string[]) => {
      const method = argv.findIndex((word) => word.endsWith(".zone")) + 1;
      const words = argv.slice(method + 2);
      if (argv[0] === "nft") {
        const rules = [...zones].map(([subnet, zone]) => `ip saddr ${subnet} goto filter_IN_${zone}`);
        return Promise.resolve({ code: 0, stdout: rules.join("\n"), stderr: "" });
      }
      asked.push(`${argv[method]} ${words.join(" ")}`);
      const said = answer(argv[method]!, words);
      const failed = said instanceof Error;
      return Promise.resolve({
        code: failed ? 1 : 0,
        stdout: failed ? "" : said,
        stderr: failed ? said.message : "",
      });
    },
  } as unknown as World;
  return { world, files, asked, warned };
}

test("firewalld accepts containers' subnets until no container is left, also after it has forgotten them", async () => {
  const zones = new Map<string, string>();
  const { world, files, asked } = hostWith(zones);
  assert.deepEqual(await untrusted(world, subnets), subnets);
  assert.deepEqual(await trustSubnets(world, steps), subnets);
  assert.deepEqual([...zones], subnets.map((subnet) => [subnet, "trusted"]));
  assert.deepEqual(await untrusted(world, subnets), []);
  assert.deepEqual(await trustSubnets(world, steps), []);
  zones.clear();
  asked.splice(0);
  assert.deepEqual(await trustSubnets(world, steps), subnets);
  assert.deepEqual(asked, subnets.map((subnet) => `addSource trusted ${subnet}`));
  for (const { remove } of keptChanges(world, "/state")) await remove();
  assert.deepEqual([zones.size, [...files.keys()]], [0, ["/run/firewalld.pid"]]);
});

test("a subnet that an administrator has given a zone keeps it", async () => {
  const zones = new Map([["10.1.0.0/16", "work"], ["fd00:1::/64", "trusted"]]);
  const { world, warned } = hostWith(zones);
  assert.deepEqual(await trustSubnets(world, steps), []);
  assert.deepEqual([...zones.values(), ...warned], ["work", "trusted"]);
  assert.deepEqual(keptChanges(world, "/state"), []);
});

test("a firewalld of another network namespace, or one that has ended, is told nothing", async () => {
  for (const netns of ["net:[2]", ""]) {
    const elsewhere = hostWith(new Map(), { netns });
    assert.deepEqual([await trustSubnets(elsewhere.world, steps), elsewhere.asked], [[], []]);
  }
  const here = hostWith(new Map());
  await trustSubnets(here.world, steps);
  here.files.delete("/run/firewalld.pid");
  here.asked.splice(0);
  for (const { remove } of keptChanges(here.world, "/state")) await remove();
  assert.deepEqual([here.asked, here.files.size], [[], 0]);
});

test("what firewalld refuses is a warning with the remedy", async () => {
  const { world, warned } = hostWith(new Map(), { refuses: "Call failed: Access denied" });
  assert.deepEqual(await trustSubnets(world, steps.slice(0, 1)), []);
  assert.deepEqual(warned, [
    "firewalld may drop what containers of 10.1.0.0/16 send, since it cannot be told of them: Call failed: Access denied; " +
    "run firewall-cmd --zone=trusted --add-source=10.1.0.0/16",
  ]);
});
