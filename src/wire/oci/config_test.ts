import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Config,
  formatConfig,
  hookMark,
  oddPart,
  parseConfig,
  withHooks,
  withoutHooks,
} from "./config.ts";

const entries = {
  createRuntime: { path: "/bin/x", args: ["x", "hook", "createRuntime"], env: [hookMark] },
  poststop: { path: "/bin/x", args: ["x", "hook", "poststop"], env: [hookMark] },
};
const others = { path: "/bin/other" };
const linux = { namespaces: [{ type: "pid" }, { type: "network", path: "/run/netns/a" }, { type: "ipc" }] };

/** Each config is tested with every way to inject. */
const configs: Readonly<Record<string, Config>> = {
  "a plain one": { ociVersion: "1.0.2", linux, hostname: "own" },
  "one without a network namespace": { linux: { namespaces: [{ type: "pid" }] }, root: { path: "r" } },
  "one with other hooks": { hooks: { poststart: [], createRuntime: [others] }, linux },
  "one with an empty list": { linux, hooks: { prestart: [], poststop: [others] }, hostname: "own" },
};

test("withoutHooks() gives back what withHooks() was given", () => {
  for (const [name, config] of Object.entries(configs)) {
    for (const ownNamespace of [true, false]) {
      for (const hostname of [undefined, "box"]) {
        const wish = { ownNamespace, ...(hostname === undefined ? {} : { hostname }) };
        const once = withHooks(config, entries, wish);
        assert.equal(JSON.stringify(withHooks(once, entries, wish)), JSON.stringify(once), `${name}, twice`);
        const other = withHooks(once, entries, { ownNamespace: !ownNamespace });
        for (const changed of [once, other]) {
          assert.equal(JSON.stringify(withoutHooks(changed)), JSON.stringify(config), name);
        }
      }
    }
  }
});

test("withHooks() adds to the stages, and sets host name and network namespace", () => {
  const config = withHooks(configs["one with other hooks"]!, entries, {
    ownNamespace: false,
    hostname: "box",
  });
  const env = [
    hookMark,
    "OCINET_HOSTNAME_BEFORE=",
    'OCINET_NETWORK_BEFORE=[1,{"type":"network","path":"/run/netns/a"}]',
  ];
  assert.deepEqual(config, {
    hooks: {
      poststart: [],
      createRuntime: [others, { ...entries.createRuntime, env }],
      poststop: [{ ...entries.poststop, env }],
    },
    linux: { namespaces: [{ type: "pid" }, { type: "ipc" }] },
    hostname: "box",
  });
});

test("withoutHooks() leaves a namespace that was set since", () => {
  const taken = withHooks({ linux }, entries, { ownNamespace: false });
  const mine = { linux: { namespaces: [{ type: "network", path: "/run/netns/mine" }] } };
  assert.deepEqual(withoutHooks({ ...taken, ...mine }), mine);
  const given = withHooks({ linux: { namespaces: [] } }, entries, { ownNamespace: true });
  assert.deepEqual(withoutHooks({ ...given, ...mine }), mine);
});

test("a config is written as it was read, numbers beyond JavaScript's included", () => {
  const texts = [
    '{\n\t"a": 18446744073709551615,\n\t"b": [\n\t\t1.0,\n\t\t1e3,\n\t\t-0\n\t]\n}\n',
    '{\n  "a": "18446744073709551615 \\"1.0\\"",\n  "b": 1\n}',
    '{"a":{"b":1.50},"c":-12}',
  ];
  for (const text of texts) assert.equal(formatConfig(parseConfig(text), text), text);
});

test("what is of another kind than a runtime takes is told, and null is nothing", () => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['{"linux": 7}', 'its "linux" is not an object; the runtime would refuse it'],
    ['{"linux": {"namespaces": "x"}}', 'its "linux.namespaces" is not a list; the runtime would refuse it'],
    ['{"hooks": []}', 'its "hooks" is not an object; the runtime would refuse it'],
    [
      '{"hooks": {"createRuntime": {}}}',
      'its "hooks.createRuntime" is not a list; the runtime would refuse it',
    ],
    ['{"hooks": null, "linux": {"namespaces": null}}', undefined],
    ['{"hooks": {"poststop": []}, "linux": {"namespaces": []}}', undefined],
  ];
  for (const [text, problem] of rows) assert.equal(oddPart(parseConfig(text)), problem, text);
});

test("what is no JSON object is refused", () => {
  assert.throws(() => parseConfig("[]"), /^Error: it is not a JSON object$/);
  assert.throws(() => parseConfig('{"a": 01}'), {
    message: "it is not JSON: line 1, column 7: a value is expected",
  });
});
