import assert from "node:assert/strict";
import { test } from "node:test";
import { realWorld } from "../../host/runtime.ts";
import type { World } from "../../plan/world.ts";
import { forget, giveBackEmpty, giveBackOutlived, isEmpty, type Kept, outlived, remember } from "./stale.ts";

const real = realWorld();
let roots = 0;

/**
 * Runs a test with one World per boot of a machine. The directories are in /var/tmp, because /tmp counts as emptied by
 * a reboot.
 */
function machine(body: (boot: (id: string, machine?: string) => World, kept: Kept) => void): () => void {
  return () => {
    const dataDir = `/var/tmp/ocinet-boots-${real.pid}-${roots++}`;
    real.makeDirectory(`${dataDir}/n1`);
    const boot = (id: string, machine = "m1"): World => ({
      ...real,
      read: (path) =>
        path === "/etc/machine-id" ? machine : path.endsWith("/boot_id") ? `${id}\n` : real.read(path),
    });
    try {
      body(boot, { dataDir, network: "n1" });
    } finally {
      real.remove(dataDir);
    }
  };
}

function reserve(world: World, kept: Kept, address: string, owner: string): void {
  real.write(`${kept.dataDir}/${kept.network}/${address}`, owner);
  remember(world, kept, address);
}

function held({ dataDir, network }: Kept): string {
  return real.list(`${dataDir}/${network}`).toSorted().join(" ");
}

test(
  "what an earlier boot reserved is given back, and all trace of it",
  machine((boot, kept) => {
    const [first, second] = [boot("1"), boot("2")];
    ["10.1.1.2", "10.1.1.3"].forEach((address) => reserve(first, kept, address, "a"));
    assert.deepEqual(outlived(first, kept), []);
    giveBackOutlived(first, kept);
    assert.equal(held(kept), "10.1.1.2 10.1.1.3");
    assert.deepEqual(outlived(second, kept).toSorted(), ["10.1.1.2", "10.1.1.3"]);
    reserve(second, kept, "10.1.1.4", "b");
    giveBackOutlived(second, kept);
    assert.equal(held(kept), "10.1.1.4");
    assert.deepEqual(real.list(`${kept.dataDir}/.boots`), ["m1.2"]);
  }),
);

test(
  "what another program has reserved anew stays, as does what we know nothing of, and another machine's",
  machine((boot, kept) => {
    reserve(boot("1"), kept, "10.1.1.2", "a");
    real.remove(`${kept.dataDir}/n1/10.1.1.2`);
    real.write(`${kept.dataDir}/n1/10.1.1.9`, "in between");
    real.write(`${kept.dataDir}/n1/10.1.1.2`, "a");
    reserve(boot("1", "m2"), kept, "10.1.1.3", "theirs");
    giveBackOutlived(boot("2"), kept);
    assert.equal(held(kept), "10.1.1.2 10.1.1.3 10.1.1.9");
  }),
);

test(
  "of two that come at once one gives back, and the other takes nothing that was reserved since",
  machine((boot, kept) => {
    reserve(boot("1"), kept, "10.1.1.2", "a");
    const second = boot("2");
    // When the first process is about to remove the reservation, the second has finished, and a third has the address.
    let meddled = false;
    const slow: World = {
      ...second,
      create: (path, text) => {
        const made = second.create(path, text);
        if (!meddled) {
          meddled = true;
          giveBackOutlived(second, kept);
        }
        return made;
      },
    };
    giveBackOutlived(slow, kept);
    assert.equal(held(kept), "");
    reserve(second, kept, "10.1.1.2", "b");
    giveBackOutlived(slow, kept);
    assert.equal(held(kept), "10.1.1.2");
  }),
);

test(
  "one that was killed over it is made up for by the next boot",
  machine((boot, kept) => {
    reserve(boot("1"), kept, "10.1.1.2", "a");
    const killed: World = {
      ...boot("2"),
      remove: () => {
        throw new Error("killed");
      },
    };
    assert.throws(() => giveBackOutlived(killed, kept), /killed/);
    giveBackOutlived(boot("2"), kept);
    assert.equal(held(kept), "10.1.1.2");
    giveBackOutlived(boot("3"), kept);
    assert.equal(held(kept), "");
    assert.deepEqual(real.list(`${kept.dataDir}/.boots`), []);
  }),
);

test(
  "what is given back in time is forgotten, and nothing is remembered where a reboot forgets, or of no known machine",
  machine((boot, kept) => {
    reserve(boot("1"), kept, "10.1.1.2", "a");
    forget(boot("1"), kept, "10.1.1.2");
    assert.deepEqual(outlived(boot("2"), kept), []);
    for (const dataDir of ["/run/x", "/tmp/x", "/var/run/x", "/dev/shm/x"]) {
      assert.deepEqual(remember(boot("1"), { ...kept, dataDir }, "10.1.1.2"), []);
    }
    assert.deepEqual(remember(boot("1", ""), kept, "10.1.1.2"), []);
  }),
);

test(
  "an empty reservation belongs to no container once it is older than it takes to make one",
  machine((_boot, { dataDir }) => {
    const path = `${dataDir}/n1/10.1.1.2`;
    const later: World = {
      ...real,
      stat: (path) => {
        const stat = real.stat(path);
        return stat && { ...stat, modified: stat.modified - 120_000 };
      },
    };
    real.write(path, "");
    assert.deepEqual([isEmpty(real, path), isEmpty(later, path)], [false, true]);
    giveBackEmpty(real, path);
    assert.deepEqual(real.list(`${dataDir}/n1`), ["10.1.1.2"]);
    giveBackEmpty(later, path);
    assert.deepEqual(real.list(`${dataDir}/n1`), []);
    real.write(path, "a");
    giveBackEmpty(later, path);
    assert.deepEqual(real.list(`${dataDir}/n1`), ["10.1.1.2"]);
  }),
);

test(
  "an earlier boot's reservations are known where the device has another number since, also by notes of old",
  machine((boot, kept) => {
    ["10.1.1.2", "10.1.1.3"].forEach((address) => reserve(boot("1"), kept, address, "a"));
    const note = `${kept.dataDir}/.boots/m1.1/n1/10.1.1.3`;
    real.write(note, `77:${real.read(note)}`);
    const renumbered: World = {
      ...boot("2"),
      stat: (path, link) => {
        const stat = real.stat(path, link);
        return stat && { ...stat, identity: `99:${stat.identity.split(":")[1]}` };
      },
    };
    giveBackOutlived(renumbered, kept);
    assert.equal(held(kept), "");
  }),
);
