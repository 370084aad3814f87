import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import { emptyResult, type Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import { show, type Step } from "../../plan/step.ts";
import * as firewall from "./firewall.ts";

const at = { containerId: "c1", ifname: "eth0", digest: "a1".repeat(64) } as Attachment;
const nothing: HostState = { links: new Map(), sysctls: new Map() };
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "cni0" }, { name: "veth1" }, { name: "eth0", sandbox: "/n" }],
  ips: [{ address: "10.1.2.3/24", interface: 2 }, { address: "fd00::3/64", interface: 2 }],
};

/** A plan without an administrator's chain, unless another backend is given. */
function planOwn(conf: Record<string, unknown>, before = made, seen = nothing) {
  const { steps } = plan(conf, before, seen);
  return { steps: steps.filter((step) => !show([step]).startsWith("iptables ")) };
}

function plan(conf: Record<string, unknown>, before = made, seen = nothing) {
  return firewall.plan(firewall.parse(fields(conf)), at, before, seen);
}

const passed = `nft add element inet ocinet passed4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet passed6 { "cni0" . fd00::3 }`;
const opened = `${passed}
nft add element inet ocinet open4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet open6 { "cni0" . fd00::3 }`;

function undoOf(step: Step | undefined) {
  return step && "undo" in step ? step.undo : undefined;
}

/** The steps for an administrator's chain. */
const admin = (chain: string) => `iptables -I FORWARD -j ${chain}; ip6tables -I FORWARD -j ${chain}`;

test("traffic of the container's addresses passes, by whichever backend; the result is handed on", () => {
  for (const backend of ["nftables", undefined, "", "iptables", "nonesuch"]) {
    const { steps, result } = plan({ backend, iptablesAdminChainName: "MINE" });
    assert.equal(show(steps), backend === "nftables" ? passed : `${passed}\n${admin("MINE")}`);
    assert.equal(result, made);
  }
});

test("an administrator's chain is called first, and stays", () => {
  const { steps } = plan({});
  assert.equal(show(steps), `${passed}\n${admin("CNI-ADMIN")}`);
  assert.equal(undoOf(steps.at(-1)), undefined);
  for (const name of ["-X", "FORWARD", "ACCEPT"]) {
    const message =
      `failed to parse config: Cannot use iptablesAdminChainName "${name}": it is no name of a chain`;
    assert.throws(() => plan({ iptablesAdminChainName: name }), { message });
  }
  const conf = firewall.parse(fields({ backend: "iptables" }));
  const looks = ["iptables -w -S FORWARD", "ip6tables -w -S FORWARD"];
  assert.deepEqual(firewall.evidence(conf, at, made).answers, looks);
  const drift = (four: string, six: string) =>
    firewall.checkDrift(conf, at, made, {
      ...nothing,
      answers: new Map([[looks[0]!, four], [looks[1]!, six]]),
    });
  const called =
    '-P FORWARD ACCEPT\n-A FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN\n';
  assert.equal(drift(called, ""), undefined);
  assert.equal(drift(called, "-P FORWARD ACCEPT\n"), 'FORWARD does not call "CNI-ADMIN"');
});

test("a policy opens the addresses, and shuts out who is not to come", () => {
  assert.equal(show(planOwn({ ingressPolicy: "open" }).steps), opened);
  assert.equal(
    show(planOwn({ ingressPolicy: "same-bridge" }).steps),
    `${opened}
nft add element inet ocinet apart4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet apart6 { "cni0" . fd00::3 }`,
  );
  const { steps } = planOwn({ ingressPolicy: "isolated" });
  assert.equal(
    show(steps),
    `${opened}
nft add element inet ocinet apart4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet apart6 { "cni0" . fd00::3 }
nft add element inet ocinet isolated4 { "cni0" . 10.1.2.3 }
nft add element inet ocinet isolated6 { "cni0" . fd00::3 }
ip link set dev veth1 type bridge_slave isolated on`,
  );
  assert.equal(undoOf(steps.at(-1)), "link set dev veth1 type bridge_slave isolated off");
});

test("of a bridge with VLANs, the link that the host routes through counts; a link without a bridge is one itself", () => {
  const vlan = { ...made, interfaces: [...made.interfaces, { name: "cni0.7" }] };
  assert.match(
    show(planOwn({ ingressPolicy: "same-bridge" }, vlan).steps),
    /apart4 \{ "cni0\.7" \. 10\.1\.2\.3 \}/,
  );
  const [, host, container] = made.interfaces;
  const ptp = { ...made, interfaces: [host!, container!], ips: [{ address: "10.1.2.3/24", interface: 1 }] };
  const text = show(planOwn({ ingressPolicy: "isolated" }, ptp).steps);
  assert.match(text, /isolated4 \{ "veth1" \. 10\.1\.2\.3 \}/);
  assert.doesNotMatch(text, /bridge_slave/);
});

test("a policy that is none, or has no bridge, is refused", () => {
  assert.throws(() => plan({ ingressPolicy: "shut" }), { message: 'unknown ingress policy: "shut"' });
  const message = 'interface needs to be set for ingress policy "same-bridge", ' +
    'make sure to chain "firewall" plugin with "bridge"';
  const odd = { ...made, interfaces: [{ name: 'x" }' }] };
  const inside = { ...made, interfaces: [{ name: "eth0", sandbox: "/n" }] };
  for (const before of [emptyResult, odd, inside]) {
    assert.throws(() => plan({ ingressPolicy: "same-bridge" }, before), { message });
  }
  assert.equal(firewall.unchained, "missing prevResult from earlier plugin");
});

const words = "firewall-cmd --zone=trusted --add-source=10.1.2.3/32 --add-source=fd00::3/128";

test("firewalld is told where it is asked for, or runs", () => {
  const { steps } = planOwn({ backend: "firewalld" });
  assert.equal(show(steps), `${passed}\n${words}`);
  assert.deepEqual(undoOf(steps.at(-1)), words.replaceAll("--add-", "--remove-").split(" "));
  const [sign] = firewall.lookups(firewall.parse(fields({})), at).files!;
  const seeing = (text: string) => ({ ...nothing, files: new Map([[sign!, text]]) });
  const zone = { firewalldZone: "work" };
  assert.match(
    show(plan({ backend: "", ...zone }, made, seeing("812\n")).steps),
    /firewall-cmd --zone=work --add/,
  );
  assert.equal(show(planOwn({ backend: "" }, made, seeing("")).steps), passed);
  assert.deepEqual(firewall.lookups(firewall.parse(fields({ backend: "iptables" })), at), {});
  assert.equal(show(planOwn({ backend: "iptables" }, made, seeing("812\n")).steps), passed);
  assert.deepEqual(plan({ backend: "firewalld" }, emptyResult).steps, []);
  assert.throws(() => plan({ backend: "firewalld", firewalldZone: "a b" }), /is not one plain word/);
});
