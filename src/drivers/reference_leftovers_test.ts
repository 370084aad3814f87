import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../wire/cni/fields.ts";
import { emptyResult, type Result } from "../wire/cni/result.ts";
import type { Attachment } from "../plan/attachment.ts";
import { leftovers } from "./reference_leftovers.ts";

const at: Attachment = {
  ...{ containerId: "cidp", network: "p1", ifname: "eth0", netns: "", args: new Map() },
  ...{ digest: "", networkDigest: "" },
};
const made: Result = {
  ...emptyResult,
  interfaces: [{ name: "eth0", sandbox: "/run/netns/box" }],
  ips: [{ address: "10.1.1.2/24", interface: 0 }, { address: "fd00:1::2/64", interface: 0 }],
};

function of(type: string, conf: Record<string, unknown>) {
  return leftovers(type, { conf: fields(conf), at, made });
}

test("leftovers() names what the reference makes as the reference does", async () => {
  const ports = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } };
  const nat = (...chains: readonly string[]) => ({ table: "nat", chains });
  assert.deepEqual((await of("ptp", { ipMasq: true })).iptables, nat("CNI-c39ab466ae1d637739fec93f"));
  assert.deepEqual(
    (await of("portmap", ports)).iptables,
    nat("CNI-DN-c39ab466ae1d637739fec", "CNI-SN-c39ab466ae1d637739fec"),
  );
  assert.deepEqual(await of("bandwidth", {}), { link: "bwpc39ab466ae1d" });
  const interfaces = [...made.interfaces, { name: "bwp0123456789ab" }];
  assert.deepEqual(await leftovers("bandwidth", { conf: fields({}), at, made: { ...made, interfaces } }), {
    link: "bwp0123456789ab",
  });
  assert.deepEqual(await of("tuning", {}), { file: "/run/cni/tuning/cidp_eth0.json" });
  const { iptables, firewalld } = await of("firewall", { firewalldZone: "work" });
  const remove = "firewall-cmd --zone=work --remove-source=10.1.1.2/32 --remove-source=fd00:1::2/128";
  assert.deepEqual(firewalld?.map((step) => "undo" in step && step.undo), [remove.split(" ")]);
  assert.deepEqual(iptables, {
    table: "filter",
    rules: ["10.1.1.2/32", "fd00:1::2/128"].flatMap((ip) => [
      `-A CNI-FORWARD -d ${ip} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      `-A CNI-FORWARD -s ${ip} -j ACCEPT`,
    ]),
  });
});

test("leftovers() tells rules in nft by their comments", async () => {
  const [rules] = (await of("ptp", { ipMasq: true, ipMasqBackend: "iptables" })).nft ?? [];
  assert.equal(rules?.table, "inet cni_plugins_masquerade");
  assert.ok(rules.isTheirs("2439a64be91a9915-987169ead5eda263, net: p1, if: eth0, id: cidp"));
  assert.ok(!rules.isTheirs("2439a64be91a9915-0000000000000000, net: p1, if: eth1, id: cidp"));
  const { nft: [spoof] = [] } = await of("bridge", { macspoofchk: true });
  assert.deepEqual(spoof?.chains, ["cni-br-iface-cidp-eth0", "cni-br-iface-cidp-eth0-mac"]);
  assert.ok(spoof.isTheirs("macspoofchk-cidp-eth0") && !spoof.isTheirs("macspoofchk-cidp-eth01"));
  const conf = { backend: "iptables", runtimeConfig: { portMappings: [{}] } };
  const { nft: ports = [] } = await of("portmap", conf);
  assert.deepEqual(ports.map(({ table }) => table), ["ip cni_hostport", "ip6 cni_hostport"]);
  assert.ok(ports.every(({ isTheirs }) => isTheirs("cidp") && !isTheirs("cidp2")));
});

test("leftovers() has no rules to look for where the configuration asks for none", async () => {
  assert.deepEqual(await of("bridge", {}), { nft: [] });
  for (const type of ["ptp", "portmap", "macvlan", "sbr", "host-local"]) {
    assert.deepEqual(await of(type, {}), {});
  }
  assert.deepEqual(
    await leftovers("firewall", { conf: fields({}), at, made: emptyResult }),
    {},
  );
});
