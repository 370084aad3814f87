import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkList } from "./network_list.ts";

function read(json: unknown) {
  return parseNetworkList(JSON.stringify(json), "/n/a.conf");
}

const plugins = [{ type: "bridge" }];

test("a list is read, each plugin as it stands", () => {
  assert.deepEqual(
    read({
      cniVersion: "1.0.0",
      name: "a",
      disableCheck: true,
      disableGC: "False",
      plugins: [{ Type: "bridge", unknown: { x: 1 } }, {
        type: "portmap",
        capabilities: { portMappings: true },
      }],
    }),
    {
      name: "a",
      cniVersion: "1.0.0",
      plugins: [
        { Type: "bridge", unknown: { x: 1 }, type: "bridge" },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
      disableCheck: true,
      disableGC: false,
    },
  );
});

test("a file with one plugin is a list of it", () => {
  const conf = { name: "a", type: "ptp", mtu: 1400 };
  assert.deepEqual(read(conf), {
    name: "a",
    cniVersion: "0.1.0",
    plugins: [conf],
    disableCheck: false,
    disableGC: false,
  });
});

test("the highest version that both know is taken", () => {
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{}, "0.1.0"],
    [{ cniVersion: "" }, "0.1.0"],
    [{ cniVersion: "0.4.0" }, "0.4.0"],
    [{ cniVersions: ["0.4.0", "1.0.0"] }, "1.0.0"],
    [{ cniVersion: "1.1.0", cniVersions: ["0.4.0"] }, "1.1.0"],
    [{ cniVersion: "0.4.0", cniVersions: ["9.0.0"] }, "0.4.0"],
    // The plugin that uses it may know it.
    [{ cniVersion: "9.9.9" }, "9.9.9"],
    [{ cniVersion: "9.9.9", cniVersions: ["9.0.0"] }, "9.9.9"],
  ];
  for (const [versions, wanted] of rows) {
    assert.equal(read({ name: "a", plugins, ...versions }).cniVersion, wanted);
  }
});

test("a file that is none is refused with its path and the reason", () => {
  const name = 'it may have only letters, digits, "_", "." and "-", and starts with a letter or digit';
  const rows: readonly (readonly [unknown, number, string])[] = [
    [[], 6, "Cannot read network file /n/a.conf: it is a list, not an object"],
    [{ plugins }, 7, 'Cannot use network name "" in /n/a.conf: it is empty'],
    [{ name: "../a", plugins }, 7, `Cannot use network name "../a" in /n/a.conf: ${name}`],
    [{ name: "a\nb", plugins }, 7, `Cannot use network name "a\\nb" in /n/a.conf: ${name}`],
    [{ name: "a", plugins: [] }, 7, "Cannot use /n/a.conf: no plugins in list"],
    [
      { name: "a", plugins: {} },
      6,
      'Cannot read "plugins" of network file /n/a.conf: {} is an object, not a list',
    ],
    [{ name: "a", plugins: [1] }, 6, "Cannot read a plugin of /n/a.conf: it is a number, not an object"],
    [{ name: "a" }, 7, 'Cannot use /n/a.conf: a plugin has no "type"'],
    [{ name: "a", plugins: [{ type: "../sh" }] }, 7, 'Cannot use /n/a.conf: invalid plugin name: "../sh"'],
    [{ name: "a", plugins: [{ type: "a\n" }] }, 7, 'Cannot use /n/a.conf: invalid plugin name: "a\\n"'],
    [{ name: "a", cniVersions: ["1.0.0", "new"], plugins }, 1, 'Cannot use /n/a.conf: "new" is no version'],
    [
      { name: "a", disableCheck: "Yes", plugins },
      6,
      'error parsing configuration list: invalid value "Yes" for disableCheck',
    ],
    [
      { name: "a", disableGC: 1, plugins },
      6,
      'error parsing configuration list: invalid value "1" for disableGC',
    ],
  ];
  for (const [json, code, message] of rows) assert.throws(() => read(json), { code, message });
  assert.throws(() => parseNetworkList("", "/n/a.conf"), {
    code: 6,
    message: "Cannot read network file /n/a.conf: it is not JSON",
  });
});
