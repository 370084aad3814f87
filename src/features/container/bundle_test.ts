import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { realWorld } from "../../host/runtime.ts";
import type { Pinned, World } from "../../plan/world.ts";
import { openBundleConfig } from "./bundle.ts";
import { isRootsOwn, pinDirectory } from "../../engine/pinned_path.ts";

const real = realWorld();
const directory = `/tmp/ocinet-bundle-test.${real.pid}`;
const [bundle, config, precious] = [
  `${directory}/bundle`,
  `${directory}/bundle/config.json`,
  `${directory}/precious`,
];

beforeEach(() => {
  real.makeDirectory(bundle);
  real.write(config, "own");
  real.write(precious, "precious");
});
afterEach(() => real.remove(directory));

/** A World that runs `swap` just after a path that ends with `after` was pinned. */
function swapping(after: string, swap: () => void): World {
  let left = 1;
  const pin = (path: string, link?: "follow"): Pinned | undefined => {
    const pinned = real.pin(path, link);
    if (path.endsWith(after) && left-- > 0) swap();
    return pinned;
  };
  return { ...real, pin };
}

function put(target: string, path: string): void {
  real.remove(path);
  real.symlink(target, path);
}

/** Checks that no unfinished or new file is left beside the bundle. */
function assertUntouched(): void {
  assert.equal(real.read(precious), "precious");
  assert.deepEqual(real.list(directory).filter((name) => name.startsWith(".")), []);
}

test("a config is read and replaced, with its mode", () => {
  real.write(config, "own", 0o640);
  const opened = openBundleConfig(real, bundle);
  assert.deepEqual([opened.path, opened.text], [config, "own"]);
  const { mode } = real.stat(config)!;
  opened.replace("changed");
  opened.release();
  assert.deepEqual([real.read(config), real.stat(config)!.mode], ["changed", mode]);
  assert.deepEqual(real.list(bundle), ["config.json"]);
});

test("a config that is a link, a fifo, a directory, or has other names is refused and stays", async () => {
  const rows: readonly (readonly [RegExp, () => unknown])[] = [
    [/^Error: Cannot read .*\/bundle\/config.json: it is a symbolic link;/, () => put(precious, config)],
    [/it is a symbolic link;/, () => put("/nowhere", config)],
    [/it is not a regular file;/, () => (real.remove(config), real.run(["mkfifo", config]))],
    [/it is not a regular file;/, () => (real.remove(config), real.makeDirectory(config))],
    [
      /the file has 2 names \(hard links\);/,
      () => (real.remove(config), real.run(["ln", precious, config])),
    ],
    [/it has no config.json; runc spec makes one$/, () => real.remove(config)],
  ];
  for (const [problem, make] of rows) {
    await make();
    assert.throws(() => openBundleConfig(real, bundle), problem);
    assertUntouched();
  }
});

test("a config of neither root's nor the bundle's owner's is refused", () => {
  const stranger = (world: World): World => ({
    ...world,
    pin: (path, link) => {
      const pinned = world.pin(path, link);
      return pinned && path.endsWith("/config.json")
        ? { ...pinned, stat: { ...pinned.stat, uid: 4711 } }
        : pinned;
    },
  });
  assert.throws(
    () => openBundleConfig(stranger(real), bundle),
    /Cannot read .*config.json: it belongs to user 4711, and the bundle to user [0-9]+; chown one of them$/,
  );
});

test("swapped with a link once it was looked at, what is read is what was looked at, and nothing is written", () => {
  const opened = openBundleConfig(swapping("/config.json", () => put(precious, config)), bundle);
  assert.equal(opened.text, "own");
  assert.throws(
    () => opened.replace("hooks"),
    /^Error: Cannot write .*: it has been changed since it was read; try again$/,
  );
  opened.release();
  assert.equal(real.readLink(config), precious);
  assertUntouched();
});

test("swapped at the last moment, the name is given to the new file, and the link is not followed", () => {
  let reads = 0;
  const late: World = {
    ...real,
    pin: (path, link) => {
      const pinned = real.pin(path, link);
      if (path.endsWith("/config.json") && ++reads === 2) put(precious, config);
      return pinned;
    },
  };
  const opened = openBundleConfig(late, bundle);
  opened.replace("hooks");
  opened.release();
  assert.equal(real.read(config), "hooks");
  assertUntouched();
});

test("the bundle's directory swapped with a link, all happens in the one that was looked at", () => {
  const [elsewhere, moved] = [`${directory}/elsewhere`, `${directory}/moved`];
  real.makeDirectory(elsewhere);
  real.write(`${elsewhere}/config.json`, "precious");
  const world = swapping(real.uid === 0 ? "/bundle" : "/bundle/.", () => {
    real.makeDirectory(moved);
    real.write(`${moved}/config.json`, "own");
    put(elsewhere, bundle);
  });
  // The pinned directory was replaced. The config is not found in it, and no other directory is searched.
  assert.throws(() => openBundleConfig(world, bundle), /it has no config.json/);
  assert.equal(real.read(`${elsewhere}/config.json`), "precious");
});

test("a config that its user made read-only is not replaced", () => {
  const opened = openBundleConfig(
    {
      ...real,
      uid: 1000,
      pin: (path, link) => {
        const pinned = real.pin(path, link);
        return pinned && { ...pinned, stat: { ...pinned.stat, mode: 0o444 } };
      },
    },
    bundle,
  );
  assert.throws(() => opened.replace("changed"), /permission denied, it is read-only$/);
  opened.release();
  assert.equal(real.read(config), "own");
});

test("of links to a directory root follows only those that no other user can have made", () => {
  const rows = [
    [true, { uid: 0, mode: 0o755 }, { uid: 0 }],
    [true, { uid: 0, mode: 0o1777 }, { uid: 0 }],
    [false, { uid: 0, mode: 0o755 }, { uid: 1000 }],
    [false, { uid: 0, mode: 0o1777 }, { uid: 1000 }],
    [false, { uid: 0, mode: 0o777 }, { uid: 0 }],
    [false, { uid: 0, mode: 0o775 }, { uid: 0 }],
    [false, { uid: 1000, mode: 0o755 }, { uid: 0 }],
    [false, { uid: 1000, mode: 0o1755 }, { uid: 0 }],
  ] as const;
  for (const [expected, at, link] of rows) assert.equal(isRootsOwn(at, link), expected);
});

test("a directory is found through relative links, absolute ones, and dots; not through a circle", () => {
  real.symlink("bundle", `${directory}/relative`);
  real.symlink(directory, `${directory}/absolute`);
  real.symlink("circle", `${directory}/circle`);
  const { identity } = real.stat(bundle)!;
  for (
    const name of ["bundle", "relative/.", "absolute/relative", "absolute/../${name}/bundle", "./bundle//"]
  ) {
    const path = `${directory}/${name.replace("${name}", directory.slice(5))}`;
    const pinned = pinDirectory(real, path);
    assert.equal(pinned?.stat.identity, identity, path);
    pinned?.release();
  }
  for (const name of ["nothing", "precious", "bundle/config.json/..", "precious/."]) {
    assert.equal(pinDirectory(real, `${directory}/${name}`), undefined, name);
  }
  if (real.uid === 0) assert.equal(pinDirectory(real, `${directory}/circle`), undefined);
});
