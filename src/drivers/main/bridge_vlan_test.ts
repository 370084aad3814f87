import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { show } from "../../plan/step.ts";
import { parseTrunk, portVlans } from "./bridge_vlan.ts";

function parse(...entries: readonly unknown[]) {
  return parseTrunk(entries.map((entry) => fields(entry)));
}

test("a trunk is single ids and ranges", () => {
  assert.equal(parseTrunk(undefined), undefined);
  assert.deepEqual(parse(), []);
  assert.deepEqual(parse({ id: 101 }, { minID: 200, maxID: 210 }, {}, { minID: 1, maxID: 1, id: 9 }), [
    { min: 101, max: 101 },
    { min: 200, max: 210 },
    { min: 1, max: 1 },
    { min: 9, max: 9 },
  ]);
});

test("a trunk that cannot be is refused in the reference's words", () => {
  const rows: readonly (readonly [unknown, string])[] = [
    [{ id: 4095 }, "incorrect trunk id parameter"],
    [{ id: -1 }, "incorrect trunk id parameter"],
    [{ minID: 4095, maxID: 1 }, "incorrect trunk minID parameter"],
    [{ minID: 1, maxID: 4095 }, "incorrect trunk maxID parameter"],
    [{ minID: 2, maxID: 1 }, "minID is greater than maxID in trunk parameter"],
    [{ minID: 2 }, "minID and maxID should be configured simultaneously, maxID is missing"],
    [{ maxID: 2 }, "minID and maxID should be configured simultaneously, minID is missing"],
  ];
  for (const [entry, message] of rows) assert.throws(() => parse(entry), { code: 999, message });
});

test("a port is in its VLANs, and out of the default one unless that is kept", () => {
  const [id, keepDefault] = [0, false];
  const rows = [
    [{ id, keepDefault }, ""],
    [{ id, trunk: [], keepDefault }, ""],
    [{ id: 100, keepDefault }, "vlan del dev a vid 1|vlan add dev a vid 100 pvid untagged"],
    [{ id: 100, keepDefault: true }, "vlan add dev a vid 100 pvid untagged"],
    [
      { id, trunk: [{ min: 101, max: 101 }, { min: 200, max: 210 }], keepDefault },
      "vlan del dev a vid 1|vlan add dev a vid 101|vlan add dev a vid 200-210|vlan add dev a vid 1 pvid untagged",
    ],
    [
      { id: 7, trunk: [{ min: 8, max: 8 }], keepDefault },
      "vlan del dev a vid 1|vlan add dev a vid 8|vlan add dev a vid 7 pvid untagged",
    ],
  ] as const;
  for (const [vlans, wanted] of rows) {
    assert.equal(
      show(portVlans("a", vlans)),
      wanted.replaceAll(/^(?=.)|(?<=\|)/g, "bridge ").replaceAll("|", "\n"),
    );
  }
});

test("a port leaves the bridge's own default VLAN, whatever its number (plugins#667)", () => {
  const shown = (vlans: Parameters<typeof portVlans>[1], byDefault: number) =>
    show(portVlans("a", vlans, byDefault));
  const access = { id: 100, keepDefault: false };
  assert.equal(
    shown(access, 10),
    "bridge vlan del dev a vid 10\nbridge vlan add dev a vid 100 pvid untagged",
  );
  assert.equal(shown(access, 0), "bridge vlan add dev a vid 100 pvid untagged");
  const trunk = { id: 0, trunk: [{ min: 1, max: 20 }], keepDefault: false };
  // The untagged VLAN is set after the range that includes it.
  assert.match(shown(trunk, 10), /vid 1-20\n.* vid 10 pvid untagged$/);
  assert.doesNotMatch(shown(trunk, 0), /pvid|del/);
});
