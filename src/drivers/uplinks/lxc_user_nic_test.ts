import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import { show } from "../../plan/step.ts";
import { lxcUserNic } from "./lxc_user_nic.ts";
import { parseOptions } from "./options.ts";
import type { GrantedBridge, Host, Target, UserNic } from "./uplink.ts";

const served: GrantedBridge = { name: "lxcbr0", there: true, servesDhcp: true };
const lan: GrantedBridge = { name: "br0", there: true, servesDhcp: false };
const missing: GrantedBridge = { name: "br9", there: false, servesDhcp: false };

function hostWith(bridges: readonly GrantedBridge[], more: Partial<UserNic> = {}): Host {
  return {
    ...{ ipv6: true, routes: { 4: true, 6: true }, lowestPort: 1024 },
    userNic: { path: "/usr/libexec/lxc/lxc-user-nic", user: "ann", bridges, ...more },
  };
}

const target: Target = {
  host: hostWith([missing, lan, served]),
  ...{ id: "c1", netns: "/proc/7/ns/net", pid: 9, init: 7, lasting: 7, ownPidNamespace: true },
  ...{ enter: ["--user=/proc/9/ns/user", "--preserve-credentials"], ifname: "eth0", directory: "/c1" },
  ...{ socket: "/c1/uplink.sock", restricted: false, again: ["ocinet", "repair", "c1"] },
};

function connect(options: string) {
  return lxcUserNic.connect(target, parseOptions(options, lxcUserNic.keys));
}

const asks =
  "udhcpc -f -R -i eth0 -p /c1/dhcp/pid -s /bin/sh -t 5 -T 2 -V  -o -O 1 -O 3 -O 6 -O 15 -O 119 -O 121";

test("lxc-user-nic plugs in a link that undoing knows by what no other has, then a client asks through it", () => {
  const { steps } = connect("mac=02:00:00:00:00:99");
  assert.equal(
    show(steps),
    [
      "container: at the end: ip link delete dev ocinet9",
      "lxc-user-nic create / c1 9 veth lxcbr0 ocinet9",
      "container: ip link set dev ocinet9 name eth0 group 1073741833 address 02:00:00:00:00:99 up",
      asks,
    ].join("\n"),
  );
  const [, , link, client] = steps;
  assert.ok(link?.tool === "ip" && link.undo === "link delete group 1073741833");
  assert.ok(
    client?.tool === "spawn" && client.gracefulStop && client.keepsLinks &&
      client.run.join(" ").includes(client.cmdlineMarker),
  );
  assert.deepEqual([client.pidFile, client.cmdlineMarker, client.cleanupPaths], [
    "/c1/uplink.pid",
    "/c1/dhcp/",
    [
      "/c1/dhcp",
    ],
  ]);
  assert.ok(client.again?.includes("--net=/proc/7/ns/net"));
  assert.ok(client.again?.includes("--bounding-set=-all,+net_admin,+net_raw,+net_bind_service"));
});

test("lxc-user-nic takes the bridge that is asked for, or else one with a DHCP server before others", () => {
  const bridgeOf = (options: string) => / veth (\S+) /.exec(show(connect(options).steps))![1];
  assert.equal(bridgeOf(""), "lxcbr0");
  assert.equal(bridgeOf("bridge=br0"), "br0");
});

test("what is true is what the first lease says", () => {
  const { answer, read } = connect("mac=02:00:00:00:00:99");
  assert.deepEqual(answer, { file: "/c1/dhcp/lease" });
  const link = { name: "eth0", sandbox: "/proc/7/ns/net", mac: "02:00:00:00:00:99" };
  assert.deepEqual(read("ip=10.0.3.5\0mask=24\0router=10.0.3.1\0dns=10.0.3.1\0"), {
    interfaces: [link],
    ips: [{ address: "10.0.3.5/24", gateway: "10.0.3.1", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.0.3.1" }],
    dns: { nameservers: ["10.0.3.1"], search: [] },
  });
  assert.throws(() => read("ip=127.0.0.1\0mask=8\0"), /no host can have it$/);
  assert.equal(read("").ips[0]?.address, "0.0.0.0/24");
});

test("lxc-user-nic works where it is, has power, and grants a bridge that is there", () => {
  const reason = (host: Host, options = "", restricted = false) =>
    lxcUserNic.problem(host, restricted, parseOptions(options, lxcUserNic.keys));
  assert.equal(reason(target.host), undefined);
  const rows: readonly (readonly [string | undefined, string])[] = [
    [reason({ ...target.host, userNic: undefined! }), "it is not installed; install liblxc-common"],
    [reason(hostWith([], { problem: "no; do" })), "no; do"],
    [
      reason(target.host, "", true),
      "default-restricted cannot be kept by it; use --uplink pasta or slirp4netns",
    ],
    [
      reason(hostWith([])),
      '/etc/lxc/lxc-usernet grants you no bridge; have root add a line such as "ann veth lxcbr0 10"',
    ],
    [
      reason(target.host, "bridge=br1"),
      '/etc/lxc/lxc-usernet grants you no link on "br1" (it grants: br9, br0, lxcbr0); ' +
      'have root add a line such as "ann veth br1 10"',
    ],
    [
      reason(target.host, "bridge=br9"),
      'there is no bridge "br9", which /etc/lxc/lxc-usernet grants you; have root make it ' +
      "(systemctl start lxc-net makes lxcbr0, with a DHCP server), or grant another",
    ],
  ];
  for (const [found, expected] of rows) assert.equal(found, expected);
});

test("where no program on the host serves DHCP it is doubted, and it refuses every port", () => {
  assert.equal(lxcUserNic.doubt(hostWith([lan, served])), undefined);
  assert.match(lxcUserNic.doubt(hostWith([lan]))!, /^no process on this host serves DHCP on bridge "br0"; /);
  assert.match(
    lxcUserNic.refusal(parsePublish("8080:80")[0]!),
    /: lxc-user-nic forwards no ports; the relay does, /,
  );
});
