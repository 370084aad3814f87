import assert from "node:assert/strict";
import { after, test } from "node:test";
import { formatMember } from "../../wire/dns/member.ts";
import { realWorld } from "../runtime.ts";
import { directoryAt } from "./directory.ts";

const world = realWorld();
const path = `/tmp/ocinet-directory-test.${world.pid}`;
after(() => world.remove(path));

/** Writes the file of a member of network "shop". */
function join(id: string, address: string): void {
  const file = { names: [id], listen: ["10.5.0.1/24"], internal: false, servers: [], addresses: [address] };
  world.makeDirectory(`${path}/shop`);
  world.write(`${path}/shop/${id} eth0`, formatMember(file));
}

/** Each member's address, as it is known after a look. */
function addresses(directory: ReturnType<typeof directoryAt>, changed?: string): readonly string[] {
  return directory.readAll(changed).flatMap(({ members }) => [...members.keys()]);
}

test("a container that is said to have changed is read alone, and the next look is at all", () => {
  const directory = directoryAt(path);
  join("web", "10.5.0.2");
  join("db", "10.5.0.3");
  assert.deepEqual(addresses(directory), ["10.5.0.3", "10.5.0.2"]);
  join("web", "10.5.0.12");
  join("db", "10.5.0.13");
  join("new", "10.5.0.4");
  assert.deepEqual(addresses(directory, "web"), ["10.5.0.3", "10.5.0.4", "10.5.0.12"]);
  assert.deepEqual(addresses(directory), ["10.5.0.13", "10.5.0.4", "10.5.0.12"]);
  world.remove(`${path}/shop/new eth0`);
  assert.deepEqual(addresses(directory, "new"), ["10.5.0.13", "10.5.0.12"]);
  assert.equal(directory.hasOthers("shop"), false);
  world.write(`${path}/shop/old eth0`, "10.5.0.9 old");
  assert.deepEqual(addresses(directory, "old"), ["10.5.0.13", "10.5.0.12"]);
  assert.equal(directory.hasOthers("shop"), true);
});
