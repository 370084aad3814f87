import assert from "node:assert/strict";
import { test } from "node:test";
import { toolProblem } from "./tool_problem.ts";

test("a value that the kernel refuses is named, with what is possible", () => {
  const told = (step: string, said: string) => toolProblem(`Cannot do "${step}"`, said)?.replace(/;.*/, "");
  for (
    const [step, said] of [
      [
        "ip link add name veth8 mtu 67 type veth peer name eth0 mtu 67 netns x",
        "RTNETLINK answers: Invalid argument",
      ],
      ["ip link add name br0 mtu 67 type bridge", "Error: mtu less than device minimum."],
      ["container: ip link set dev eth0 mtu 67", "Error: mtu less than device minimum."],
    ] as const
  ) assert.equal(told(step, said), "Cannot use mtu 67: the link cannot have it");
  for (
    const said of [
      "Error: Nexthop has invalid gateway.",
      "RTNETLINK answers: No route to host",
      'Error: inet address is expected rather than "fd66::1".',
    ]
  ) {
    assert.equal(
      told("container: ip route add 10.77.0.0/16 via fd66::1 dev eth0", said),
      "Cannot make the route to 10.77.0.0/16: its gateway fd66::1 is in no subnet of the interface",
    );
  }
  const multicast = 'Error: ipv6: Cannot assign multicast address without "IFA_F_MCAUTOJOIN" flag.';
  assert.equal(
    told("container: ip address replace ff02::1/64 dev eth0 nodad", multicast),
    "Cannot use address ff02::1/64: the interface cannot have it",
  );
  assert.equal(
    told("ip link set dev br0 netns /run/netns/box name move1", "Error: The interface netns is immutable."),
    "Cannot move br0: the kernel keeps it where it is",
  );
  // The second is what an ipvlan says.
  for (const said of ["Cannot assign requested address", "Operation not supported"]) {
    assert.equal(
      told("container: ip link set dev eth0 address 01:00:5e:00:00:01", `RTNETLINK answers: ${said}`),
      "Cannot use address 01:00:5e:00:00:01: the interface cannot have it",
    );
  }
});

test("what a tool says is told with the remedy, where there is one", () => {
  assert.equal(
    toolProblem(
      'Cannot do "ip link add link eth0 name veth8 type ipvlan mode l2"',
      "Error: Unknown device type.",
    ),
    "Cannot make a link of type ipvlan: the kernel that runs has no such links; " +
      "ocinet doctor says which module or option it takes",
  );
  const macvlan =
    'Cannot do "ip link add link eth0 name veth8 netns /proc/1/ns/net type macvlan mode passthru"';
  assert.match(
    toolProblem(macvlan, "RTNETLINK answers: Invalid argument") ?? "",
    /^Cannot make a link of type macvlan on eth0: the kernel refuses it, as beside .*; take that off, or use another parent$/,
  );
  assert.equal(
    toolProblem(macvlan, 'Cannot find device "eth0"'),
    "Cannot make a link on eth0: there is no such link; name another master",
  );
  assert.match(
    toolProblem('Cannot do "slirp4netns"', 'open("/dev/net/tun"): Permission denied child failed(1)') ?? "",
    /^Cannot connect the container: .*; as root: chmod 666 \/dev\/net\/tun$/,
  );
  assert.match(
    toolProblem('Cannot do "container: ip link set dev move1 name eth0"', "RTNETLINK answers: File exists") ??
      "",
    /File exists: the container has an interface eth0 already.*ocinet install-plugins; .* ocinet down ID takes it away$/,
  );
  const inside = 'Cannot do "container: ip link add link eth0 name vlan5 type vlan id 5"';
  assert.equal(
    toolProblem(inside, "Error: 8021q: VLAN device already exists."),
    "Cannot make VLAN 5 of eth0: another link has it already; choose another vlanId",
  );
  assert.match(
    toolProblem(inside, "RTNETLINK answers: File exists") ?? "",
    /the container has an interface vlan5/,
  );
  assert.equal(
    toolProblem(
      'Cannot do "container: ip link set dev eth0 master br0"',
      'Error: argument "br0" is wrong: Device does not exist',
    ),
    "Cannot make the link a port of br0: there is no such link in the container; make it first",
  );
  assert.match(
    toolProblem(
      'Cannot do "ip address replace fd00::1/64 dev br0"',
      "Error: ipv6: IPv6 is disabled on this device.",
    ) ?? "",
    /^Cannot do .*: IPv6 is off; sysctl -w net.ipv6.conf.all.disable_ipv6=0, or use no IPv6 subnet$/,
  );
  assert.match(
    toolProblem(
      'Cannot do "ip address replace fd00::1/64 dev eth0 nodad"',
      "RTNETLINK answers: Invalid argument",
    ) ?? "",
    /Invalid argument: IPv6 does not work on a link with an MTU below 1280, as eth0 may have; give/,
  );
  assert.equal(toolProblem('Cannot do "ip link"', "RTNETLINK answers: File exists"), undefined);
});
