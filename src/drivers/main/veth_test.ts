import assert from "node:assert/strict";
import { test } from "node:test";
import { show } from "../../plan/step.ts";
import { forward } from "./veth.ts";

const ips = [{ address: "10.1.2.3/24" }, { address: "10.1.3.3/24" }, { address: "fd00::3/64" }];

const own = "sysctl -w net/ipv4/conf/veth1/forwarding=1";

function shown(some: typeof ips, seen: Parameters<typeof forward>[1]): string {
  return show(forward(some, seen, "veth1"));
}

test("forwarding is turned on for the families there are, where it is off", () => {
  const seen = (four: string, six: string, ...advertised: readonly string[]) => ({
    links: new Map(),
    sysctls: new Map([["net/ipv4/ip_forward", four], ["net/ipv6/conf/all/forwarding", six]]),
    advertised,
  });
  assert.equal(shown(ips, seen("1", "1", "ens1")), own);
  assert.equal(shown(ips.slice(0, 1), seen("0", "0", "ens1")), `sysctl -w net/ipv4/ip_forward=1\n${own}`);
  assert.equal(
    shown(ips, seen("1", "0", "ens1.7", "ens2")),
    "sysctl -w net/ipv6/conf/ens1.7/accept_ra=2\nsysctl -w net/ipv6/conf/ens2/accept_ra=2\nsysctl -w net/ipv6/conf/all/forwarding=1\n" +
      own,
  );
  assert.equal(shown(ips.slice(2), seen("0", "0")), "sysctl -w net/ipv6/conf/all/forwarding=1");
});

test("links that did not forward before go on so, but not the bridges of overlays", () => {
  const seen = {
    links: new Map(),
    sysctls: new Map([["net/ipv4/ip_forward", "0"]]),
    unforwarded: () => ["lo", "eth0", "ovd0d2aec19d5", "vxd0d2aec19d5", "ovs0"],
  };
  assert.match(show(forward(ips.slice(0, 1), seen)), /unforwarded4 \{ "eth0" \. "eth0", "ovs0" \. "ovs0" \}/);
});
