import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../wire/oci/options.ts";
import { newFake } from "../host/fake.ts";
import type { NetworkMap } from "../features/map/model.ts";
import { map } from "./map.ts";
import { up } from "./up.ts";

const pipe = { columns: 80, isTerminal: false };
const terminal = { columns: 80, isTerminal: true };

async function machine(env: Readonly<Record<string, string>> = {}) {
  const { world, addNamespace } = newFake({ env });
  addNamespace("box");
  await up(world, "box", new Map([["publish", ["8080:80"]]]));
  return world;
}

async function textOf(
  env: Readonly<Record<string, string>>,
  screen = terminal,
  ...flags: readonly string[]
): Promise<string> {
  return (await map(await machine(env), new Set(flags), screen)).text;
}

test("map shows a container, its network, port and way, for people and programs", async () => {
  const { json, text } = await map(await machine(), new Set(), pipe);
  const { networks, containers, ports, ways } = json as NetworkMap;
  assert.deepEqual(networks.map(({ name, driver }) => `${name} ${driver}`), ["default ptp"]);
  assert.deepEqual(containers.map(({ id, state }) => `${id} ${state}`), ["box up"]);
  assert.deepEqual(containers[0]!.interfaces[0]!.ips[0], "172.16.28.2/24");
  assert.deepEqual(ports, [{
    ...{ mapping: "8080:80/tcp", hostIp: "", hostPort: 8080, containerPort: 80, protocol: "tcp" },
    ...{ keepsClientAddress: true, container: "box", network: "default", by: "nftables" },
  }]);
  assert.deepEqual(ways, [{ network: "default", kind: "masquerade" }]);
  assert.match(text, /^\| \+- default: ptp -+\+$/m);
  assert.match(text, /eth0 172\.16\.28\.2\/24 .*\n.*8080:80\/tcp by nftables/);
});

test("map draws what the terminal can show", async () => {
  const utf8 = { LANG: "en_GB.UTF-8" };
  assert.ok((await textOf(utf8)).includes("┌─ \x1b[1mdefault: ptp\x1b[0m ─"));
  assert.match(await textOf({ ...utf8, NO_COLOR: "1" }), /┌─ default: ptp ─/);
  assert.match(await textOf({ ...utf8, TERM: "dumb" }), /┌─ default: ptp ─/);
  assert.match(await textOf(utf8, pipe), /┌─ default: ptp ─/);
  assert.match(await textOf({ ...utf8, LC_ALL: "C" }, pipe), /\+- default: ptp -/);
  const widthOf = (text: string) => text.split("\n")[2]!.length;
  assert.equal(widthOf(await textOf({}, pipe)), 80);
  assert.equal(widthOf(await textOf({ COLUMNS: "40" }, pipe)), 40);
  assert.equal(widthOf(await textOf({ NO_COLOR: "1", COLUMNS: "40" })), 80);
});

test("map gives one form, and all networks if asked", async () => {
  assert.match(await textOf({}, pipe, "svg"), /^<svg .*<\/svg>\n$/s);
  assert.match(await textOf({}, pipe, "html"), /^<!doctype html>.*<\/html>\n$/s);
  assert.match(await textOf({}, pipe, "all"), /default-restricted: ptp .*host: host .*none: null /s);
  await assert.rejects(
    textOf({}, pipe, "svg", "html"),
    (error: Error) => error instanceof UsageError && /--svg and --html at once: give one/.test(error.message),
  );
});
