import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside, type Inside } from "../../plan/inside.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { show, type Step } from "../../plan/step.ts";
import * as bandwidth from "./bandwidth.ts";

const at = { ifname: "eth0", digest: "0123456789abcdef".repeat(8) } as Attachment;
const nothing: HostState = { links: new Map(), sysctls: new Map() };
const both = { ingressRate: 8000000, ingressBurst: 800000, egressRate: 16000000, egressBurst: 800000 };

function madeWith(...names: readonly string[]): Result {
  return {
    ...emptyResult,
    interfaces: [...names.map((name) => ({ name })), { name: "eth0", sandbox: "/n" }],
  };
}

function plan(conf: Record<string, unknown>, made = madeWith("cni0", "veth0123456789a"), seen = nothing) {
  return bandwidth.plan(bandwidth.parse(fields(conf)), at, made, seen);
}

function looks(link: string): readonly string[] {
  return [`tc -j -raw qdisc show dev ${link}`, `tc -j filter show dev ${link} ingress`];
}

function undoOf(step: Step | undefined) {
  return step && "undo" in step ? step.undo : undefined;
}

test("both ends of the veth are shaped, the container's by way of an ifb link that the result names", () => {
  const { steps, result } = plan(both);
  assert.equal(
    show(steps),
    `ip link add name bwp0123456789ab address 02:01:23:45:67:89 txqueuelen 0 up type ifb
tc qdisc add dev veth0123456789a root handle 1: tbf rate 1000000bps burst 100000b limit 125000b
tc qdisc add dev veth0123456789a handle ffff: ingress
tc filter add dev veth0123456789a parent ffff:fff2 protocol all prio 1 u32 match u32 0 0 classid 1:1 action mirred egress redirect dev bwp0123456789ab
tc qdisc add dev bwp0123456789ab root handle 1: tbf rate 2000000bps burst 100000b limit 150000b`,
  );
  assert.deepEqual(steps.map(undoOf), [
    "link del dev bwp0123456789ab",
    "qdisc del dev veth0123456789a root handle 1:",
    "qdisc del dev veth0123456789a ingress",
    "filter del dev veth0123456789a parent ffff:fff2 protocol all prio 1 u32",
    "qdisc del dev bwp0123456789ab root handle 1:",
  ]);
  assert.deepEqual(result.interfaces.at(-1), { name: "bwp0123456789ab", mac: "02:01:23:45:67:89" });
});

test("the ifb link has the name that the reference gives it, unless the container has one on the network already", () => {
  const where = { ...at, referenceDigest: "fedcba9876543210" } as Attachment;
  const conf = bandwidth.parse(fields({ egressRate: 80, egressBurst: 80 }));
  const made = madeWith("veth0123456789a");
  const nameOf = (seen: HostState) => bandwidth.plan(conf, where, made, seen).result.interfaces.at(-1)?.name;
  assert.deepEqual(bandwidth.lookups(conf, where, made), {
    ...{ links: [], names: ["bwpfedcba987654"], inside: false },
    answers: looks("veth0123456789a"),
  });
  assert.equal(nameOf(nothing), "bwpfedcba987654");
  assert.equal(nameOf({ ...nothing, names: new Set(["bwpfedcba987654"]) }), "bwp0123456789ab");
});

test("one direction alone, and none", () => {
  assert.equal(
    show(plan({ ingressRate: 8000000, ingressBurst: 800000 }).steps),
    "tc qdisc add dev veth0123456789a root handle 1: tbf rate 1000000bps burst 100000b limit 125000b",
  );
  assert.doesNotMatch(show(plan({ egressRate: 80, egressBurst: 80 }).steps), /dev veth0123456789a root/);
  for (const conf of [{}, { ingressRate: 0, ingressBurst: 0 }, { runtimeConfig: { bandwidth: {} } }]) {
    const made = madeWith();
    assert.deepEqual(plan(conf, made), { steps: [], result: made });
  }
});

test("limits come from runtimeConfig, however spelt, unless the configuration has one", () => {
  const runtimeConfig = { bandwidth: { IngressRate: 80, IngressBurst: 4294967295 } };
  assert.deepEqual(bandwidth.parse(fields({ runtimeConfig })), {
    ingress: { rate: 10, burst: 536870911 },
    egress: undefined,
  });
  assert.deepEqual(bandwidth.parse(fields({ runtimeConfig, egressRate: 8, egressBurst: 8 })), {
    ingress: undefined,
    egress: { rate: 1, burst: 1 },
  });
});

test("a limit that cannot be is refused", () => {
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ ingressRate: 8 }, "if rate is set, burst must also be set"],
    [{ egressBurst: 8 }, "if burst is set, rate must also be set"],
    [{ egressRate: 8, egressBurst: (2 ** 32 - 1) * 8 }, "burst cannot be more than 4GB"],
    [{ egressRate: 7, egressBurst: 8 }, 'Cannot limit bandwidth by "egressRate" 7: it is under 8 bits'],
    [{ egressRate: 8, egressBurst: 7 }, 'Cannot limit bandwidth by "egressBurst" 7: it is under 8 bits'],
  ];
  for (const [conf, message] of rows) assert.throws(() => plan(conf), { message });
  assert.throws(() => plan({ egressRate: -8, egressBurst: 8 }), { code: 6 });
});

test("a bucket is no larger than tc can say", () => {
  const conf = { ingressRate: 2 ** 40, ingressBurst: (2 ** 32 - 2) * 8 };
  assert.match(show(plan(conf).steps), / burst 4294967294b limit 4294967295b$/);
});

test("CHECK compares rate, queue and burst, as exactly as the kernel keeps them", () => {
  const made = madeWith("veth0123456789a");
  const drift = (conf: Record<string, unknown>, options: Record<string, number>) => {
    const parsed = bandwidth.parse(fields(conf));
    const [queues] = bandwidth.evidence(parsed, at, made).answers!;
    const answers = new Map([[queues!, JSON.stringify([{ kind: "tbf", options }])]]);
    return bandwidth.checkDrift(parsed, at, made, { ...nothing, answers });
  };
  const conf = { ingressRate: 8_000_000, ingressBurst: 98_760 };
  const [right, link] = [{ rate: 1_000_000, burst: 12_344, limit: 37_345 }, '"veth0123456789a"'];
  assert.equal(drift(conf, right), undefined);
  assert.equal(drift(conf, { ...right, rate: 9 }), `${link} is limited to 9 bytes/s, not 1000000`);
  assert.equal(drift(conf, { ...right, limit: 9 }), `${link} holds up to 9 bytes, not 37345`);
  assert.equal(drift(conf, { ...right, burst: 12_341 }), `${link} lets 12341 bytes go at once, not 12345`);
  // containerd's burst is longer than the kernel can store, and is reduced to 274.9 s at the rate.
  const most = { ingressRate: 8_000_000, ingressBurst: 4294967295 };
  assert.equal(drift(most, { rate: 1_000_000, burst: 274_877_906, limit: 274_902_906 }), undefined);
  assert.match(
    drift(most, { rate: 1_000_000, burst: 1373, limit: 274_902_906 })!,
    /lets 1373 bytes go at once/,
  );
});

function seeing(linkIndex: number | undefined): HostState {
  const link = (name: string, index: number) => [name, { name, index, mtu: 1400 } as Link] as const;
  const inside: Inside = {
    ...emptyInside,
    links: new Map([["eth0", { name: "eth0", ...(linkIndex === undefined ? {} : { linkIndex }) }]]),
  };
  return { ...nothing, links: new Map([link("br0", 3), link("vetha", 4), link("vethb", 5)]), inside };
}

test("a veth of another's making is found by its index, and the ifb is as large", () => {
  const made = madeWith("br0", "vetha", "vethb");
  const conf = bandwidth.parse(fields(both));
  const none = { links: [], names: [], inside: false, answers: [] };
  const links = ["br0", "vetha", "vethb"];
  assert.deepEqual(bandwidth.lookups(conf, at, made), {
    ...{ links, names: [], inside: true },
    answers: links.flatMap(looks),
  });
  assert.deepEqual(bandwidth.lookups(conf, at, madeWith("veth0123456789a")), {
    ...none,
    answers: looks("veth0123456789a"),
  });
  assert.deepEqual(bandwidth.lookups(conf, at), none);
  const text = show(plan(both, made, seeing(4)).steps);
  assert.match(text, / mtu 1400 txqueuelen 0 up type ifb\ntc qdisc add dev vetha root /);
  assert.match(
    show(plan(both, made).steps),
    /dev vethb root/,
    "the last one, where it was not possible to look",
  );
});

test("an ifb link that the result names already is the one to take down", () => {
  const made = madeWith("veth0123456789a", "bwpffffffffffff");
  const { steps, result } = plan(both, made);
  assert.equal(undoOf(steps[0]), "link del dev bwpffffffffffff");
  assert.equal(result, made);
});

test("where there is no veth, nothing is shaped", () => {
  const rows = [
    [emptyResult, nothing, "no interfaces provided"],
    [madeWith(), seeing(4), "no veth peer of container interface found in host ns"],
    [madeWith("vetha"), seeing(9), "no veth peer of container interface found in host ns"],
    [madeWith("vetha"), seeing(undefined), "container interface eth0 has no veth peer: it is not a veth"],
  ] as const;
  for (const [made, seen, message] of rows) assert.throws(() => plan(both, made, seen), { message });
});

const veth = "veth0123456789a";

/** A host state with these qdiscs and filters on the veth. */
function seenWith(queues: readonly unknown[], filters: readonly unknown[] = []): HostState {
  const [first, second] = looks(veth);
  const answers = new Map([[first!, JSON.stringify(queues)], [second!, JSON.stringify(filters)]]);
  return { ...nothing, answers };
}

const noqueue = { kind: "noqueue", handle: "0:", root: true };
const clsact = { kind: "clsact", handle: "ffff:", parent: "ffff:fff1" };

test("a filter of ours goes into a qdisc that is there, behind others', and only that is undone (plugins#894)", () => {
  for (const queue of [clsact, { ...clsact, kind: "ingress" }]) {
    const seen = seenWith([noqueue, queue], [{ pref: 1, kind: "bpf" }, { pref: 2, kind: "bpf" }]);
    const { steps } = plan(both, madeWith(veth), seen);
    assert.doesNotMatch(show(steps), /handle ffff: ingress/);
    const filter = steps.find(({ id }) => id.kind === "filter")!;
    assert.match(show([filter]), /prio 3 u32/);
    assert.equal(undoOf(filter), `filter del dev ${veth} parent ffff:fff2 protocol all prio 3 u32`);
  }
});

test("a root queue of another program's is a reason to refuse (plugins#894)", () => {
  const seen = seenWith([{ kind: "fq", handle: "8001:", root: true }, clsact]);
  assert.throws(() => plan(both, madeWith(veth), seen), {
    message:
      `Cannot limit what leaves "${veth}": it has a queue of another program, "fq" with handle 8001:; ` +
      `tc qdisc del dev ${veth} root takes that away`,
  });
  // Arriving traffic is not affected.
  plan({ egressRate: 80, egressBurst: 80 }, madeWith(veth), seen);
});

test("without a record only what is as ADD would make it is undone (plugins#894)", () => {
  const parsed = bandwidth.parse(fields(both));
  const undone = (seen: HostState) =>
    bandwidth.unrecorded(parsed, at, madeWith(veth, "bwp0123456789ab"), seen).map(undoOf);
  const ifb = "link del dev bwp0123456789ab";
  const own = { kind: "tbf", handle: "1:", root: true };
  const right = { rate: 1_000_000, burst: 100_000, limit: 125_000 };
  const ownFilter = { pref: 1, kind: "u32", options: { actions: [{ to_dev: "bwp0123456789ab" }] } };
  const filterGone = `filter del dev ${veth} parent ffff:fff2 protocol all prio 1 u32`;
  assert.deepEqual(undone(seenWith([{ kind: "fq", handle: "1:", root: true }, clsact])), [ifb]);
  assert.deepEqual(undone(seenWith([{ ...own, options: { ...right, rate: 9 } }])), [ifb]);
  assert.deepEqual(undone(seenWith([{ ...own, options: right }, clsact], [ownFilter])), [
    ifb,
    `qdisc del dev ${veth} root handle 1:`,
    filterGone,
  ]);
  const ingress = seenWith([{ ...clsact, kind: "ingress" }], [ownFilter]);
  assert.deepEqual(undone(ingress), [ifb, `qdisc del dev ${veth} ingress`, filterGone]);
  const shared = seenWith([{ ...clsact, kind: "ingress" }], [ownFilter, { pref: 7 }]);
  assert.deepEqual(undone(shared), [ifb, filterGone]);
});

test("a burst is at most what takes 274.877 s to send, the most that the kernel can keep (iproute2 7)", () => {
  const text = show(plan({ ingressRate: 8_000_000, ingressBurst: 4294967295 }).steps);
  assert.match(text, /rate 1000000bps burst 274877906b limit 274902906b$/);
});
