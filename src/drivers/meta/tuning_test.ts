import assert from "node:assert/strict";
import { test } from "node:test";
import { claim } from "../../plan/step.ts";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyInside } from "../../plan/inside.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show, type Step } from "../../plan/step.ts";
import * as tuning from "./tuning.ts";

const at = { containerId: "c1", ifname: "eth0", args: new Map() } as unknown as Attachment;
const nothing: HostState = { links: new Map(), sysctls: new Map() };
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "cni0" }, { name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/n" }],
};
const link = {
  name: "eth0",
  mac: "02:00:00:00:00:01",
  mtu: 1500,
  queueLength: 1000,
  promiscuous: false,
  allMulticast: true,
};
const inside: HostState = { ...nothing, inside: { ...emptyInside, links: new Map([["eth0", link]]) } };
const all = { mac: "02-11-22-33-44-AA", mtu: 1400, promisc: true, allmulti: false, txQLen: 0 };

function plan(conf: Record<string, unknown>, seen = nothing, where = at) {
  return tuning.plan(tuning.parse(fields(conf)), where, made, seen);
}

function undoOf(step: Step | undefined) {
  return step && "undo" in step ? step.undo : undefined;
}

test("the link gets all at once, and so it gets it all back", () => {
  const { steps, result } = plan(all, inside);
  assert.equal(
    show(steps),
    `claim /run/cni/tuning/c1_eth0.json
container: ip link set dev eth0 address 02:11:22:33:44:aa promisc on mtu 1400 allmulticast off txqueuelen 0`,
  );
  assert.equal(
    undoOf(steps[1]),
    "link set dev eth0 address 02:00:00:00:00:01 promisc off mtu 1500 allmulticast on txqueuelen 1000",
  );
  assert.deepEqual(
    result.interfaces.map(({ mac }) => mac),
    [undefined, "02:11:22:33:44:aa"],
  );
});

test("what is to be changed is written down where the reference plugin does it, and as it does it", () => {
  const [backup] = plan({ mtu: 1400, txQLen: 5, dataDir: "/d" }, inside).steps;
  assert.deepEqual(backup, claim("/d/c1_eth0.json", '{\n "mtu": 1500,\n "txQLen": 1000\n}'));
});

test("what an earlier ADD wrote down outweighs what there is now", () => {
  const text = '{ "mtu": 1350, "promisc": true }\n';
  const files = new Map([["/run/cni/tuning/c1_eth0.json", text]]);
  const { steps } = plan({ mtu: 1400, txQLen: 5 }, { ...inside, files });
  assert.equal(undoOf(steps[1]), "link set dev eth0 mtu 1350 txqueuelen 1000");
  assert.equal(steps[0]?.tool === "claim" && steps[0].owner, text.trim());
  const damaged = new Map([["/run/cni/tuning/c1_eth0.json", "{"]]);
  assert.equal(
    undoOf(plan({ mtu: 1400 }, { ...inside, files: damaged }).steps[1]),
    "link set dev eth0 mtu 1500",
  );
});

test("of a link that is yet to be made, what the result says is put back; there is nothing to write down", () => {
  const { steps } = plan(all, { ...nothing, inside: emptyInside });
  assert.equal(steps.length, 1);
  assert.equal(undoOf(steps[0]), "link set dev eth0 address 02:00:00:00:00:01 promisc off allmulticast off");
});

test("an attribute that is no longer as it was set is lost", () => {
  const drift = (conf: Record<string, unknown>) =>
    tuning.checkDrift(tuning.parse(fields(conf)), at, made, inside);
  assert.equal(drift({ mac: link.mac, mtu: 1500, allmulti: true }), undefined);
  assert.equal(drift({ mac: link.mac, mtu: 1400 }), 'interface "eth0" has mtu 1500, not 1400');
  assert.equal(drift({ promisc: true }), 'interface "eth0" has promisc false, not true');
  assert.equal(drift({}), undefined);
});

test("nothing asked for is nothing done", () => {
  for (const conf of [{}, { mac: "", mtu: 0, promisc: false }, { args: { cni: {} } }]) {
    assert.deepEqual(plan(conf), { steps: [], result: made });
    const nothing = { files: [], inside: false, insideSysctls: [] };
    assert.deepEqual(tuning.lookups(tuning.parse(fields(conf)), at), nothing);
  }
  assert.equal(tuning.unchained, "Required prevResult missing");
});

test("an address comes from the configuration, CNI_ARGS, runtimeConfig or args.cni, the last outweighing", () => {
  const mac = (n: number) => `02:00:00:00:00:0${n}`;
  const withArgs = { ...at, args: new Map([["MAC", mac(3)]]) };
  const rows = [
    [{ mac: mac(2) }, at, 2],
    [{ mac: mac(2) }, withArgs, 3],
    [{ mac: mac(2), runtimeConfig: { mac: mac(4) } }, withArgs, 4],
    [{ mac: mac(2), runtimeConfig: { mac: mac(4) }, args: { cni: { mac: mac(5) } } }, withArgs, 5],
  ] as const;
  for (const [conf, where, n] of rows) {
    assert.equal(show(plan(conf, nothing, where).steps), `container: ip link set dev eth0 address ${mac(n)}`);
  }
  const bad = 'Cannot use MAC address "02:00": it is not one';
  assert.throws(() => plan({ mac: "02:00" }), { message: bad });
  assert.throws(() => plan({}, nothing, { ...at, args: new Map([["MAC", "02:00"]]) }), { message: bad });
});

test("args.cni outweighs the configuration", () => {
  const cni = { mtu: 1300, promisc: true, allmulti: true, txQLen: 7, sysctl: { "net.core.somaxconn": "9" } };
  assert.equal(
    show(plan({ mtu: 1400, allmulti: false, sysctl: { "net.core.somaxconn": "8" }, args: { cni } }).steps),
    `container: sysctl -w net/core/somaxconn=9
container: ip link set dev eth0 promisc on mtu 1300 allmulticast on txqueuelen 7`,
  );
});

test("sysctls are named with dots or slashes, and IFNAME is the interface", () => {
  const where = { ...at, ifname: "eth0.7" };
  const sysctl = { "net.ipv4.conf.IFNAME.log_martians": "1", "net/ipv4/ip_local_port_range": "2000 3000" };
  assert.equal(
    show(plan({ sysctl }, nothing, where).steps),
    `container: sysctl -w net/ipv4/conf/eth0.7/log_martians=1
container: sysctl -w net/ipv4/ip_local_port_range=2000 3000`,
  );
});

test("a sysctl gets its value back, unless it is one of a link that is yet to be made", () => {
  const sysctl = { "net.core.somaxconn": "9", "net.ipv4.conf.IFNAME.arp_filter": "1" };
  const sysctls = new Map([["net/core/somaxconn", "4096"]]);
  const { steps } = plan({ sysctl }, { ...nothing, inside: { ...emptyInside, sysctls } });
  assert.deepEqual(steps.map(undoOf), ["4096", undefined]);
});

test("no name leads out of the network's sysctls", () => {
  const sysctl = { "net/../kernel/domainname": "x" };
  assert.equal(show(plan({ sysctl }).steps), "container: sysctl -w net/kernel/domainname=x");
});

test("sysctls beside the network's are refused, and two names for one", () => {
  const rows: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ "kernel.domainname": "x" }, 'invalid net sysctl key: "kernel/domainname"'],
    [{ "net": "x" }, 'invalid net sysctl key: "net"'],
    [{ "net/a=b": "x" }, 'invalid net sysctl key: "net/a=b"'],
    [{ "net.core.x": "1", "net/core/x": "2" }, "duplicated sysctl keys are not allowed"],
  ];
  for (const [sysctl, message] of rows) assert.throws(() => plan({ sysctl }), { message });
  for (const sysctl of ["x", ["x"], { "net.core.x": 1 }]) assert.throws(() => plan({ sysctl }), { code: 6 });
});

test("a link that is made in the same plan is not looked for", () => {
  const conf = tuning.parse(fields({ mtu: 1400 }));
  assert.equal(tuning.lookups(conf, at, made).inside, true);
  assert.equal(tuning.lookups(conf, at).inside, false);
});

test("where there is a list of sysctls that are allowed, others are refused", () => {
  const list = "/etc/cni/tuning/allowlist.conf";
  const sysctl = { "net.core.somaxconn": "9" };
  const insideSysctls = ["net/core/somaxconn"];
  assert.deepEqual(tuning.lookups(tuning.parse(fields({ sysctl })), at), {
    files: [list],
    inside: true,
    insideSysctls,
  });
  const seeing = (text: string) => ({ ...nothing, files: new Map([[list, text]]) });
  assert.equal(plan({ sysctl }, seeing("nonsense\n\n^net.core\n")).steps.length, 1);
  assert.throws(() => plan({ sysctl }, seeing("^net.ipv4\n\nnet.ipv6\n")), {
    message:
      "Sysctl net.core.somaxconn is not allowed. Only the following sysctls are allowed: [^net.ipv4 net.ipv6]",
  });
  assert.throws(() => plan({ sysctl }, seeing("(")), { message: /"\(" is no regular expression$/ });
  assert.throws(() => plan({ sysctl }, seeing("")), { message: /allowed: \[\]$/ });
});

test("a value of a sysctl is one line", () => {
  assert.equal(
    show(plan({ sysctl: { "net.ipv4.tcp_rmem": "4096\t131072 6291456" } }).steps),
    "container: sysctl -w net/ipv4/tcp_rmem=4096\t131072 6291456",
  );
  for (const value of ["1\n2", "1\0", "\x1b[31m"]) {
    assert.throws(() => plan({ sysctl: { "net.core.somaxconn": value } }), {
      code: 7,
      message: `Cannot set sysctl "net.core.somaxconn" to ${
        JSON.stringify(value)
      }: it is not one line of ASCII`,
    });
  }
});

test("a relative dataDir is refused", () => {
  assert.throws(() => plan({ dataDir: "../x" }), {
    code: 7,
    message: 'Cannot use dataDir "../x": it is not an absolute path',
  });
});
