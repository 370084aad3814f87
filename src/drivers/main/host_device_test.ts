import assert from "node:assert/strict";
import { test } from "node:test";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Device, HostState, Link } from "../../plan/host_state.ts";
import { show } from "../../plan/step.ts";
import * as hostDevice from "./host_device.ts";

const at: Attachment = {
  containerId: "c1",
  network: "n1",
  ifname: "eth0",
  netns: "/proc/7/ns/net",
  digest: "a1".repeat(32) + "b2".repeat(32),
  networkDigest: "c3".repeat(64),
  args: new Map(),
};
const ens1: Link = {
  ...{ name: "ens1", index: 2, mac: "52:54:00:00:00:01", mtu: 1500, kind: "", addresses: [], up: false },
};

function seeing(devices: Readonly<Record<string, Device>> = {}, link: Partial<Link> = {}): HostState {
  return {
    links: new Map([["ens1", { ...ens1, ...link }]]),
    devices: new Map(Object.entries(devices)),
    sysctls: new Map(),
  };
}

function link(conf: Record<string, unknown>, seen = seeing()) {
  return hostDevice.link(hostDevice.parse(fields(conf)), at, seen);
}

test("the link goes over under a name of its own, and its alias says which it was", () => {
  const { steps, result } = link({ device: "ens1", dns: { domain: "x" } });
  assert.equal(
    show(steps.filter((step) => step.tool === "ip")),
    `ip link set dev ens1 down
ip link set dev ens1 alias ens1
ip link set dev ens1 netns /proc/7/ns/net name movea1a1a1a1a1a
container: ip link set dev movea1a1a1a1a1a name eth0
container: ip link set dev eth0 up`,
  );
  assert.deepEqual(result, {
    interfaces: [{ name: "eth0", mac: "52:54:00:00:00:01", sandbox: "/proc/7/ns/net" }],
    ips: [],
    routes: [],
    dns: {},
  });
  assert.equal(hostDevice.keepsLink, true);
});

test("taken back, it comes out of the container first, is made what it was, then gets its name, then its state", () => {
  const undone = (link_: Partial<Link>) =>
    link({ device: "ens1" }, seeing({}, link_)).steps.flatMap((step) => {
      if (step.tool === "exec") {
        const words = step.undo!.slice(step.undo!.lastIndexOf("sh") + 1);
        return [`${step.on}: ${words.map((word) => word || "-").join(" ")}`];
      }
      return step.tool === "ip" && step.undo !== undefined ? [step.undo] : [];
    }).reverse();
  assert.match(undone({ lower: 9, kind: "veth" })[0]!, / 52:54:00:00:00:01 veth ens1 move/);
  assert.deepEqual(undone({ lower: 9 }), [
    "container: - - 2 9 ? 52:54:00:00:00:01 - ens1 movea1a1a1a1a1a",
    "host: movea1a1a1a1a1a ens1 52:54:00:00:00:01 mtu 1500 promisc off allmulticast off",
    "link set dev movea1a1a1a1a1a name ens1",
    'link set dev ens1 alias ""',
  ]);
  const device = { name: "../../../0000:00:03.0", port: "1" };
  const other = {
    up: true,
    hardware: true,
    device,
    mac: "",
    promiscuous: true,
    allMulticast: true,
    queueLength: 7,
  };
  assert.deepEqual(undone(other), [
    "container: ../../../0000:00:03.0 1 2 - ? - - ens1 movea1a1a1a1a1a",
    "host: ../../../0000:00:03.0 1 2 - ? - - movea1a1a1a1a1a ens1",
    "host: movea1a1a1a1a1a ens1 - mtu 1500 promisc on allmulticast on txqueuelen 7",
    "link set dev movea1a1a1a1a1a name ens1",
    'link set dev ens1 alias "" up',
  ]);
  assert.match(undone({ promiscuous: true, master: "br0" })[1]!, / promisc off /);
});

test("where nothing is written down, its alias is the name that it gets back, if the configuration agrees", () => {
  const told = (conf: Record<string, unknown>) => {
    const [step, ...more] = hostDevice.unrecorded(at, hostDevice.parse(fields(conf)));
    assert.deepEqual([more, step?.on], [[], "container"]);
    return step?.tool === "exec" && step.undo?.slice(-4).join(" ");
  };
  assert.equal(told({ device: "ens1" }), "eth0 ens1  ");
  assert.equal(told({ hwaddr: "52:54:00:00:00:01" }), "eth0  52:54:00:00:00:01 ");
  assert.equal(told({ pciBusID: "0000:00:03.0" }), "eth0   0000:00:03.0");
  assert.equal(told({ kernelpath: "/sys/devices/pci0000:00/0000:00:04.0" }), "eth0   0000:00:04.0");
});

test("with addresses it comes up once it has them", () => {
  const conf = { device: "ens1", ipam: { type: "static" }, dns: { domain: "y" } };
  const made = link(conf);
  assert.doesNotMatch(show(made.steps), / up$/m);
  const lease = { ips: [{ address: "10.1.2.3/24" }], routes: [], dns: { domain: "x" }, claims: [] };
  const { steps, result } = hostDevice.address(
    hostDevice.parse(fields(conf)),
    at,
    lease,
    made.result,
    seeing(),
  );
  assert.equal(
    show(steps),
    "container: ip address replace 10.1.2.3/24 dev eth0 brd +\ncontainer: ip link set dev eth0 up",
  );
  assert.deepEqual([result.ips, result.dns], [[{ address: "10.1.2.3/24", interface: 0 }], { domain: "y" }]);
});

test("a device is found by name, address, path, PCI address or the runtime's id, in this order", () => {
  const [pci, aux] = ["/sys/bus/pci/devices/0000:00:05.0", "/sys/bus/auxiliary/devices/mlx5_core.sf.4"];
  const all = {
    device: "ens1",
    hwaddr: "52:54:00:00:00:09",
    kernelpath: "/sys/devices/x",
    pciBusID: "0000:00:05.0",
  };
  const devices = { [pci]: { link: "ens1", driver: "e1000" }, [aux]: { link: "ens1", driver: "mlx5" } };
  const finds = (conf: Record<string, unknown>, more = {}) =>
    assert.match(show(link(conf, seeing({ ...devices, ...more })).steps), /^ip link set dev ens1 down/);
  finds(all);
  finds({ ...all, device: "" }, { "52:54:00:00:00:09": { link: "ens1" } });
  finds({ kernelpath: "/sys/devices/x" }, { "/sys/devices/x": { link: "ens1" } });
  finds({ pciBusID: "0000:00:05.0" });
  finds({ runtimeConfig: { deviceID: "0000:00:05.0" } });
  finds({ runtimeConfig: { deviceID: "mlx5_core.sf.4" } });
  assert.deepEqual(
    hostDevice.lookups(hostDevice.parse(fields({ ...all, device: "", hwaddr: "52-54-00-00-00-09" }))),
    {
      links: [],
      devices: ["52:54:00:00:00:09", pci],
    },
  );
  assert.deepEqual(
    hostDevice.lookups(
      hostDevice.parse(fields({ device: "ens1", runtimeConfig: { deviceID: "mlx5_core.sf.4" } })),
    ),
    { links: ["ens1"], devices: ["/sys/bus/pci/devices/mlx5_core.sf.4", aux] },
  );
});

test("the host's loopback is refused: the container's own would be taken for it", () => {
  assert.throws(
    () => link({ device: "ens1" }, seeing({}, { index: 1 })),
    /Cannot move ens1: the kernel keeps it where it is; name another device$/,
  );
});

test("a device that a program drives is only named", () => {
  const seen = seeing({ "/sys/bus/pci/devices/0000:00:05.0": { driver: "vfio-pci" } });
  const conf = { pciBusID: "0000:00:05.0", ipam: { type: "static" } };
  const made = link(conf, seen);
  assert.deepEqual(made.steps, []);
  assert.deepEqual(made.result.interfaces, [{ name: "eth0", sandbox: "/proc/7/ns/net" }]);
  const lease = { ips: [{ address: "10.1.2.3/24" }], routes: [], dns: {}, claims: [] };
  const { steps, result } = hostDevice.address(hostDevice.parse(fields(conf)), at, lease, made.result, seen);
  assert.deepEqual([steps, result.ips], [[], [{ address: "10.1.2.3/24", interface: 0 }]]);
});

test("what cannot be is refused in the reference's words", () => {
  const pci = "/sys/bus/pci/devices/0000:00:05.0";
  const refusals: readonly (readonly [Record<string, unknown>, string, HostState?])[] = [
    [{}, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"'],
    [{ device: "ens2" }, "failed to find host device: Link not found"],
    [
      { hwaddr: "zz" },
      'failed to find host device: failed to parse MAC address "zz": address zz: invalid MAC address',
    ],
    [{ hwaddr: "52:54:00:00:00:09" }, "failed to find host device: failed to find physical interface"],
    [
      { kernelpath: "sys/devices/x" },
      'failed to find host device: kernel device path "sys/devices/x" must be absolute and begin with /sys/devices/',
    ],
    [
      { kernelpath: "/sys/devices/../../etc" },
      'failed to find host device: kernel device path "/sys/devices/../../etc" must be absolute and begin with /sys/devices/',
    ],
    [
      { kernelpath: "/sys/devices/x" },
      "failed to find host device: failed to find network device in path /sys/devices/x/net",
    ],
    [
      { pciBusID: "0000:00:05.0" },
      `error with host device: lstat ${pci}/driver: no such file or directory`,
    ],
    [
      { pciBusID: "0000:00:05.0" },
      "failed to find host device: no net directory under pci device 0000:00:05.0",
      seeing({ [pci]: { driver: "nvme" } }),
    ],
    [
      { runtimeConfig: { deviceID: "0000:00:05.0" } },
      "runtime config DeviceID 0000:00:05.0 not found or unsupported",
    ],
    [
      { runtimeConfig: { deviceID: "../../x" } },
      "runtime config DeviceID ../../x not found or unsupported",
    ],
  ];
  for (const [conf, message, seen] of refusals) {
    assert.throws(() => link(conf, seen), { code: 999, message });
  }
});
