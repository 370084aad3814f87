import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../host/fake.ts";
import { linkNamed, namespaceOf } from "../host/fake/kernel.ts";
import { stateDirectory } from "../engine/state.ts";
import { rateKeys, ratesOf } from "../features/top/rates.ts";
import { type KnownContainers, takeSample } from "../features/top/sample.ts";
import type { Signal } from "../plan/world.ts";
import { typedIn } from "./fake_console.ts";
import { top, watch } from "./top.ts";
import { up } from "./up.ts";

/** Two containers with a veth each, and one whose interface has no end on the host. */
async function machine() {
  let now = 1_000_000;
  const fake = newFake({ now: () => now });
  const { world, place, kernel } = fake;
  place(
    "/etc/ocinet/net.d/blind.conf",
    '{ "cniVersion": "1.0.0", "name": "blind", "type": "dummy", "ipam": { "type": "static", "addresses": [{ "address": "10.9.0.2/24" }] } }',
  );
  const inodes = ["box", "web", "odd"].map((name) => fake.addNamespace(name));
  await up(world, "box", new Map());
  await up(world, "web", new Map([["net", ["default,default-restricted"]]]));
  await up(world, "odd", new Map([["net", ["blind"]]]));
  const eth0 = (name: string) => {
    const { identity } = world.stat(`/run/netns/${name}`)!;
    return linkNamed(namespaceOf(kernel, Number(identity.split(":")[1])), "eth0")!;
  };
  const far = (name: string) => {
    const { peer } = eth0(name);
    return namespaceOf(kernel, peer!.namespace).links.find(({ index }) => index === peer!.index)!;
  };
  return { ...fake, inodes, eth0, far, later: (ms: number) => now += ms };
}

test("what the host's end of a veth receives its container sends; an interface without such an end is asked itself", async () => {
  const made = await machine();
  const { world, far, eth0, later } = made;
  const state = stateDirectory(world);
  const before = await takeSample(world, state);
  far("box").counters = {
    rx: { bytes: 4000, packets: 40, dropped: 1 },
    tx: { bytes: 200, packets: 2, dropped: 2 },
  };
  eth0("odd").counters = {
    rx: { bytes: 10_000, packets: 10, dropped: 0 },
    tx: { bytes: 0, packets: 0, dropped: 7 },
  };
  later(2000);
  const rates = ratesOf(before, await takeSample(world, state));
  assert.deepEqual(rates.map(({ id, network, ifname }) => `${id} ${network} ${ifname}`), [
    "odd blind eth0",
    "box default eth0",
    "web default-restricted eth0",
    "web default eth1",
  ]);
  assert.deepEqual(rates.slice(0, 2).map(rateKeys), [
    {
      ...{
        id: "odd",
        network: "blind",
        ifname: "eth0",
        rxBytes: 5000,
        txBytes: 0,
        rxPackets: 5,
        txPackets: 0,
      },
      ...{ rxDropped: 0, txDropped: 7 },
    },
    {
      ...{ id: "box", network: "default", ifname: "eth0", rxBytes: 100, txBytes: 2000, rxPackets: 1 },
      ...{ txPackets: 20, rxDropped: 2, txDropped: 1 },
    },
  ]);
});

test("an interface that was made anew in between has no negative rate, and one that is new or gone is left out", async () => {
  const { world, far, later } = await machine();
  const state = stateDirectory(world);
  far("box").counters.rx.bytes = 5000;
  const before = await takeSample(world, state);
  far("box").counters.rx.bytes = 10;
  later(1000);
  const after = await takeSample(world, state);
  assert.equal(ratesOf(before, after).find(({ id }) => id === "box")?.counters[1], 0);
  const without = { ...before, interfaces: before.interfaces.filter(({ id }) => id !== "box") };
  assert.ok(!ratesOf(without, after).some(({ id }) => id === "box"));
  assert.ok(!ratesOf(after, { ...without, at: after.at + 1000 }).some(({ id }) => id === "box"));
});

test("top measures once in JSON and where there is no terminal, and refuses an interval that is none", async () => {
  const { world, dump } = await machine();
  const before = dump();
  const { code, stdout } = await typedIn(world, "top --interval 0.1");
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^ID +NETWORK +INTERFACE +RX kB\/s +TX kB\/s +RX PKT\/s +TX PKT\/s +DROPPED\nbox +default +eth0 +0\.0/,
  );
  const json = await typedIn(world, "stats --json --interval=0.1", 80);
  assert.equal(JSON.parse(json.stdout).length, 4);
  const ids = await typedIn(world, "top --interval=0.1 --format {{.id}}", 80);
  assert.deepEqual(ids.stdout.trim().split("\n").toSorted(), ["box", "odd", "web", "web"]);
  assert.deepEqual(dump(), before, "it only looks");
  for (const interval of ["0", "-1", "soon", "1e9", "0.05", "1.2.3", "."]) {
    await assert.rejects(top(world, true, interval), {
      message: `Cannot measure every "${interval}" seconds: it is a number from 0.1 to 3600, such as 2`,
    });
  }
});

test("records that were read for an earlier sample are read again once they have been written", async () => {
  const { world: there } = await machine();
  const state = stateDirectory(there);
  const reads: string[] = [];
  let modified = 1;
  const world: typeof there = {
    ...there,
    read: (path) => (reads.push(path), there.read(path)),
    stat: (path, what) => {
      const stat = there.stat(path, what);
      return stat && { ...stat, modified };
    },
  };
  const known: KnownContainers = new Map();
  const names = async () => (await takeSample(world, state, known)).interfaces.map(({ id }) => id);
  const recordsRead = () => reads.splice(0).filter((path) => path.startsWith(`${state}/containers/`)).length;
  const first = await names();
  assert.notEqual(recordsRead(), 0);
  assert.deepEqual(await names(), first);
  assert.equal(recordsRead(), 0);
  // A directory that was written just now may be written again within its clock's step.
  modified = world.now();
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await names(), first);
    assert.notEqual(recordsRead(), 0);
  }
});

/** A terminal of 52 columns and 3 rows, and how it is brought to an end. */
function terminalOf(world: Awaited<ReturnType<typeof machine>>["world"]) {
  const printed: string[] = [];
  let key = (_: string) => {}, signal = (_: Signal) => {}, raw = false;
  world.onSignals = (names, tell) => void (names.includes("SIGINT") && (signal = tell));
  const terminal = {
    size: () => ({ columns: 52, rows: 3 }),
    print: (text: string) => void printed.push(text),
    onKey: (tell: (key: string) => void) => {
      [key, raw] = [tell, true];
      return () => raw = false;
    },
  };
  return {
    terminal,
    printed,
    press: (one: string) => key(one),
    send: () => signal("SIGINT"),
    isRaw: () => raw,
  };
}

test("a terminal is drawn on until q, Ctrl-C or a signal, and is then as it was; also when measuring fails", async () => {
  for (const how of ["q", "\x03", "signal", "failure"]) {
    const { world, later, far } = await machine();
    const { terminal, printed, press, send, isRaw } = terminalOf(world);
    let waits = 0;
    const wait = () => {
      if (++waits === 1) press("x");
      if (waits < 3) {
        far("web").counters.rx.bytes += 3_000_000;
        later(2000);
        return Promise.resolve();
      }
      if (how === "failure") world.run = () => Promise.reject(new Error("no more"));
      else if (how === "signal") send();
      else press(how);
      return how === "failure" ? Promise.resolve() : new Promise<void>(() => {});
    };
    const watching = watch(world, terminal, wait);
    if (how === "failure") await assert.rejects(watching, /no more/);
    else assert.equal((await watching).text, "");
    assert.equal(isRaw(), false);
    assert.equal(printed[0], "\x1b[?1049h\x1b[?25l");
    assert.equal(printed.at(-1), "\x1b[?25h\x1b[?1049l");
    const frames = printed.slice(1, -1);
    assert.equal(frames.length, 3);
    for (const frame of frames) {
      const lines = frame.replace("\x1b[H", "").replace("\x1b[J", "").trimEnd().split("\x1b[K\r\n");
      assert.ok(lines.length <= 3 && lines.every((line) => line.replace("\x1b[K", "").length <= 52), frame);
    }
    assert.match(frames[1]!, /\nweb +default-restricted +eth0 +0\.0 +1500\.0/);
  }
});
