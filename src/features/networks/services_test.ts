import assert from "node:assert/strict";
import { test } from "node:test";
import type { Claim, Line } from "../../plan/step.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";
import { serviceOf } from "./service_options.ts";
import { membership, serviceSteps, withService } from "./services.ts";

const read = (...given: readonly (readonly [string, ...string[]])[]) =>
  serviceOf(new Map(given.map(([name, ...values]) => [name, values]))).service!;
const listOf = (name: string, type: string) =>
  ({ name, plugins: [{ type }], named: true }) as unknown as NetworkList;
const shop = listOf("shop", "overlay");

test("a service has a name, ports of every host, and a way to choose among its members", () => {
  assert.deepEqual(
    read(["service", "web"], ["publish-mesh", "8080:80,5353:53/udp", "9000-9001:90-91"], [
      "affinity",
      "client",
    ]),
    {
      ...{ name: "web", affinity: true },
      ports: [
        { protocol: "tcp", hostPort: 8080, port: 80 },
        { protocol: "udp", hostPort: 5353, port: 53 },
        { protocol: "tcp", hostPort: 9000, port: 90 },
        { protocol: "tcp", hostPort: 9001, port: 91 },
      ],
    },
  );
  assert.deepEqual(read(["service", "web"]), { name: "web", ports: [], affinity: false });
});

test("a service's port may be open on some addresses of hosts only, which an older ocinet is not to read", () => {
  const subnets = (...ports: readonly string[]) =>
    read(["service", "web"], ["publish-mesh", ...ports]).ports.map(({ on }) => on);
  assert.deepEqual(
    subnets(
      "192.0.2.9/24:80:80",
      "[fd00::9/8]:80:80/tcp",
      "192.0.2.9:80-81:80-81",
      "0.0.0.0:80:80",
      "[::]:80:80",
    ),
    ["192.0.2.0/24", "fd00::/8", "192.0.2.9/32", "192.0.2.9/32", "0.0.0.0/0", "::/0"],
  );
  const attached = [{ network: shop, ifname: "eth0", digest: "0123456789abcdef" }] as unknown as Parameters<
    typeof serviceSteps
  >[2];
  for (const [port, version] of [["80:80", undefined], ["192.0.2.9:80:80", 2]] as const) {
    const [file] = serviceSteps("/s", "c1", attached, read(["service", "web"], ["publish-mesh", port]));
    assert.equal(JSON.parse((file as Claim).owner).version, version);
  }
});

test("what cannot be a service is refused with the option and the reason", () => {
  assert.throws(
    () => read(["publish-mesh", "8080:80"]),
    /Cannot use --publish-mesh or --affinity without --service/,
  );
  assert.throws(() => read(["service", "a b"]), /Cannot use --service "a b": it is not one of/);
  assert.throws(() => read(["service", "localhost"]), /Cannot use --service "localhost"/);
  assert.throws(() => read(["service", "web"], ["affinity", "both"]), /Cannot use --affinity "both"/);
  const publish = (port: string) => () => read(["service", "web"], ["publish-mesh", port]);
  assert.throws(
    publish("127.0.0.1:8080:80"),
    /Cannot publish "127.0.0.1:8080:80" on every host: no host leads on what is sent to its loopback/,
  );
  assert.throws(publish("[::1]:8080:80"), /loopback/);
  assert.throws(publish("192.0.2.0/33:8080:80"), /"192.0.2.0\/33" is no subnet/);
  assert.throws(
    publish("192.0.2/24:8080:80"),
    /Cannot publish "192.0.2:8080:80": "192.0.2" is not an address/,
  );
  assert.throws(
    publish("192.0.2.9:80:80,192.0.2.9/32:80:81"),
    /Cannot publish port 80\/tcp of service "web" twice/,
  );
  assert.throws(publish("8080:80/dccp"), /protocol "dccp" is neither tcp, udp nor sctp/);
  assert.throws(publish("1-101:1-101"), /Cannot publish more than 100 ports of service "web"/);
  assert.throws(publish("8080:80,8080:81"), /Cannot publish port 8080\/tcp of service "web" twice/);
});

test("a member has the service's name on overlay networks, and is written down for the agent", () => {
  const service = read(["service", "web"], ["publish-mesh", "8080:80"]);
  const chosen = [{ list: shop, ifname: "eth0", args: "", aliases: ["x"] }, {
    list: listOf("lan", "bridge"),
    ifname: "eth1",
    args: "",
  }];
  assert.deepEqual(withService("c1", chosen, service).map(({ aliases }) => aliases), [
    ["x", "web"],
    undefined,
  ]);
  assert.throws(
    () => withService("c1", chosen.slice(1), service),
    /Cannot make container "c1" a member of service "web": there is no overlay network among "[^"]*"; make one with/,
  );
  const attached = chosen.map(({ list, ifname }) => ({
    ...{ network: list, ifname, digest: "0123456789abcdef" },
    result: { ips: [{ address: "10.9.0.4/24", gateway: "10.9.0.1" }], routes: [{ dst: "0.0.0.0/0" }] },
  })) as unknown as Parameters<typeof serviceSteps>[2];
  const steps = serviceSteps("/s", "c1", attached, service);
  const [file, port, ...ways] = steps as readonly [Claim, Line, ...Line[]];
  assert.deepEqual([file.path, JSON.parse(file.owner)], ["/s/services/shop/c1 eth0", {
    ...{ service: "web", addresses: ["10.9.0.4"], affinity: false },
    ports: [{ protocol: "tcp", hostPort: 8080, port: 80 }],
  }]);
  // By its own port it is reached when it is led to itself.
  assert.equal(port.run, "link set dev veth0123456789a type bridge_slave hairpin on");
  // Its answers leave by the network that the client came by.
  assert.deepEqual(ways.map(({ run }) => run), [
    "route replace 10.9.0.0/24 dev eth0 table 65827",
    "route replace 0.0.0.0/0 via 10.9.0.1 dev eth0 table 65827",
    "rule add from 10.9.0.4/32 lookup 65827",
  ]);
  assert.equal(serviceSteps("/s", "c1", attached, { ...service, ports: [] }).length, 1);
  // It is drained by a file with the service's name, unless that is its own as well.
  const drained = (id: string, ...aliases: readonly string[]) => {
    const steps = serviceSteps("/s", id, attached, service);
    const { isDrained, drain } = membership({ id, steps }, { ...attached[0]!, aliases } as never)!;
    const after = membership({ id, steps: [...steps, drain] }, attached[0] as never)!;
    return [isDrained, drain.path, drain.owner, after.isDrained];
  };
  assert.deepEqual(drained("c1", "x", "web"), [false, "/s/drained/shop/c1 eth0", "web", true]);
  assert.equal(drained("web", "web")[2], "-");
  assert.equal(drained("c1", "web", "web")[2], "-");
  assert.equal(membership({ id: "c1", steps }, attached[1] as never), undefined);
});
