import assert from "node:assert/strict";
import { test } from "node:test";
import type { PluginCall } from "../../wire/cni/environment.ts";
import type { World } from "../../plan/world.ts";
import { contextOf } from "./call.ts";
import { removeLeftovers } from "./reference_leftovers.ts";

const saved = `*filter
-A CNI-FORWARD -d 10.1.1.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -s 10.1.1.2/32 -j ACCEPT
-A CNI-FORWARD -s 10.1.1.3/32 -j ACCEPT
COMMIT
*nat
:CNI-c39ab466ae1d637739fec93f - [0:0]
-A POSTROUTING -s 10.1.1.2/32 -j CNI-c39ab466ae1d637739fec93f
COMMIT
`;
const prevResult = {
  interfaces: [{ name: "veth1a2b3c4d", mac: "02:00:00:00:00:01" }, {
    name: "eth0",
    sandbox: "/run/netns/box",
  }],
  ips: [{ address: "10.1.1.2/24", interface: 1 }, { address: "10.1.1.3/24", interface: 1 }],
};

/** The commands that a DEL runs for this request on a machine with these files, each with its standard input. */
async function runs(
  request: Record<string, unknown>,
  files: Readonly<Record<string, string>>,
  links = "",
): Promise<readonly string[]> {
  const ran: string[] = [];
  const world = {
    env: () => undefined,
    read: (path: string) => files[path],
    list: () => [],
    stat: (path: string) =>
      files[path] === undefined ? undefined : { kind: "file", mode: 0o755, identity: "" },
    remove: (path: string) => void ran.push(`remove ${path}`),
    run: (argv: readonly string[], { stdin = "" } = {}) => {
      ran.push([argv.join(" "), stdin.trim()].filter(Boolean).join("\n"));
      const stdout = argv[0] === "iptables-save" ? saved : argv.includes("-json") ? links : "";
      return Promise.resolve({ code: 0, stdout, stderr: "" });
    },
  };
  const environment = {
    command: "DEL",
    containerId: "cidp",
    netns: "",
    ifname: "eth0",
    args: "",
    path: [],
  };
  const call = {
    ...{ command: "DEL", environment, network: "p1", version: "1.0.0" },
    ...{ type: request.type, request },
  };
  await removeLeftovers(await contextOf(world as unknown as World, "/s", call as unknown as PluginCall));
  return ran;
}

const programs = { "/usr/sbin/iptables-save": "", "/usr/sbin/ip6tables-save": "" };

test("removeLeftovers() takes the chain, and of links by chance names the one with the container's address", async () => {
  const request = { type: "ptp", ipMasq: true, prevResult };
  const there = { ...programs, "/proc/sys/net/ipv4/conf/veth1a2b3c4d": "" };
  const link = (mac: string) => `[{"ifindex":9,"ifname":"veth1a2b3c4d","address":"${mac}"}]\n`;
  const rules =
    "iptables-restore --noflush --wait\n*nat\n-D POSTROUTING -s 10.1.1.2/32 -j CNI-c39ab466ae1d637739fec93f\n" +
    "-F CNI-c39ab466ae1d637739fec93f\n-X CNI-c39ab466ae1d637739fec93f\nCOMMIT";
  const looks = [
    "iptables-save",
    "ip6tables-save",
    "nft --handle list table inet cni_plugins_masquerade",
    "ip -d -json -force -batch -\naddress show dev veth1a2b3c4d",
  ];
  const mine = await runs(request, there, link("02:00:00:00:00:01"));
  assert.deepEqual(
    mine.toSorted(),
    [...looks, rules, "ip -force -batch -\nlink del dev veth1a2b3c4d"].toSorted(),
  );
  const others = await runs(request, there, link("02:00:00:00:00:02"));
  assert.deepEqual(others.toSorted(), [...looks, rules].toSorted());
});

test("removeLeftovers() leaves rules for an address that host-local has given to another", async () => {
  const lease = {
    "/var/lib/cni/networks/p1/10.1.1.3": "other\r\neth0",
    "/var/lib/cni/networks/p1/10.1.1.2": "cidp\r\neth0",
  };
  const [, , restore] = await runs({ type: "firewall", prevResult }, { ...programs, ...lease });
  assert.equal(
    restore,
    "iptables-restore --noflush --wait\n*filter\n" +
      "-D CNI-FORWARD -d 10.1.1.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
      "-D CNI-FORWARD -s 10.1.1.2/32 -j ACCEPT\nCOMMIT",
  );
});

test("removeLeftovers() starts nothing where the configuration asks for no rules, and no links are there", async () => {
  for (const type of ["bridge", "ptp", "portmap", "firewall", "bandwidth", "macvlan"]) {
    assert.deepEqual(await runs({ type }, programs), [], type);
  }
  assert.deepEqual(await runs({ type: "tuning" }, programs), ["remove /run/cni/tuning/cidp_eth0.json"]);
});

test("removeLeftovers() does without iptables, and asks firewalld only where that runs", async () => {
  assert.deepEqual(await runs({ type: "ptp", ipMasq: true }, {}), [
    "nft --handle list table inet cni_plugins_masquerade",
  ]);
  assert.deepEqual(await runs({ type: "firewall", prevResult }, {}), []);
  assert.deepEqual(await runs({ type: "firewall", prevResult }, { "/run/firewalld.pid": "7" }), [
    "firewall-cmd --zone=trusted --remove-source=10.1.1.2/32 --remove-source=10.1.1.3/32",
  ]);
});
