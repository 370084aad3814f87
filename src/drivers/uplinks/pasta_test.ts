import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import { show } from "../../plan/step.ts";
import { parseOptions } from "./options.ts";
import { pasta } from "./pasta.ts";
import type { Target } from "./uplink.ts";

const host = { ipv6: true, routes: { 4: true, 6: true }, lowestPort: 1024 };
const target: Target = {
  host,
  id: "c1",
  netns: "/proc/7/ns/net",
  pid: 7,
  init: 7,
  lasting: 7,
  ownPidNamespace: true,
  enter: ["--user=/proc/7/ns/user", "--preserve-credentials"],
  ifname: "eth0",
  directory: "/c1",
  socket: "/run/c1.sock",
  restricted: false,
  again: ["ocinet", "repair", "c1"],
};

function connect(options: string, ports: readonly string[] = [], more: Partial<Target> = {}) {
  const mappings = ports.flatMap(parsePublish);
  return pasta.connect({ ...target, ...more }, parseOptions(options, pasta.keys), mappings);
}

const allows = "container: sysctl -w net/ipv6/conf/default/disable_ipv6=0\n";
const recovers = "container: sysctl -w net/ipv4/tcp_rto_min_us=20000\n" +
  "container: sysctl -w net/ipv4/tcp_frto=0\n" +
  "container: sysctl -w net/ipv4/tcp_congestion_control=reno\n";
const begins =
  "pasta --foreground --quiet --pid=/c1/ready --log-file=/c1/pasta.log --config-net --ns-ifname=eth0 ";
const still = "--no-dhcp --no-dhcpv6 --no-ra ";

test("pasta gets all it has to know when it starts", () => {
  const { steps, result } = connect("", [
    "8080:80",
    "127.0.0.1:8081:81",
    "[::1]:8082:82",
    "0.0.0.0:8083:83",
    "[::]:5353:53/udp",
  ]);
  assert.equal(
    show(steps),
    allows + recovers + begins +
      "--mtu=65520 --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 --address=fd00::100 " +
      `--gateway=fd00::2 ${still}--no-map-gw --dns-forward=10.0.2.3 --tcp-ports=8080:80 ` +
      "--tcp-ports=127.0.0.1/8081:81 --tcp-ports=::1/8082:82 --tcp-ports=0.0.0.0/8083:83 --udp-ports=::/5353:53 " +
      "--tcp-ns=none --udp-ns=none 7",
  );
  assert.deepEqual(result.ips.map(({ address }) => address), ["10.0.2.100/24", "fd00::100/64"]);
  assert.deepEqual(result.dns, { nameservers: ["10.0.2.3"] });
});

test("the container's TCP recovers fast from what pasta drops, on kernels that can do so", () => {
  for (const options of ["", "ipv6=false"]) {
    const { steps } = connect(options);
    const settings = steps.filter((step) => step.tool === "sysctl" && step.key.startsWith("net/ipv4/tcp_"));
    assert.equal(settings.length, 3);
    // They are there before the first connection, and an older kernel lacks the first one.
    assert.ok(
      settings.every((step) => steps.indexOf(step) < steps.findIndex(({ tool }) => tool === "spawn")),
    );
    assert.ok(settings.every(({ onError }) => onError === "ignore"));
  }
});

test("pasta leaves no way out of default-restricted, not even for names or by request", () => {
  const { steps, result } = connect("host-loopback=true", ["8080:80"], { restricted: true });
  assert.equal(
    show(steps),
    recovers + begins + "--mtu=65520 --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 --ipv4-only " +
      `${still}--no-map-gw --no-icmp --outbound-if4=lo --tcp-ports=8080:80 --udp-ports=none ` +
      "--tcp-ns=none --udp-ns=none 7\n" +
      "container: nft table inet ocinet_restricted { chain out { type filter hook output priority 0; " +
      "oifname lo accept; ct state established accept; reject with icmpx admin-prohibited; }; }",
  );
  assert.deepEqual(result.ips.map(({ address }) => address), ["10.0.2.100/24"]);
  assert.deepEqual(result.dns, {});
});

test("pasta's options all take effect", () => {
  const { steps, result } = connect(
    "cidr=10.99.0.0/16,mtu=1500,mac=02:00:00:00:00:01,dns=false,host-loopback=true," +
      "outbound-addr=192.0.2.1,outbound-addr6=eth1",
  );
  assert.equal(
    show(steps),
    allows + recovers + begins +
      "--mtu=1500 --ns-mac-addr=02:00:00:00:00:01 --address=10.99.0.100 --netmask=16 --gateway=10.99.0.2 " +
      `--address=fd00::100 --gateway=fd00::2 ${still}--outbound=192.0.2.1 --outbound-if6=eth1 ` +
      "--tcp-ports=none --udp-ports=none --tcp-ns=none --udp-ns=none 7",
  );
  assert.equal(result.interfaces[0]!.mac, "02:00:00:00:00:01");
});

test("pasta has IPv6 where the host can route it, and it is wanted", () => {
  const routes = { 4: true, 6: false };
  for (const plan of [connect("ipv6=false"), connect("", [], { host: { ...host, routes } })]) {
    assert.match(show(plan.steps), / --ipv4-only /);
    assert.equal(plan.result.ips.length, 1);
  }
});

test("pasta enters no user namespace that it is in already", () => {
  assert.match(show(connect("", [], { enter: [] }).steps), / --netns-only --netns=\/proc\/7\/ns\/net$/);
});

test("pasta, let in by a process that ends before the container, stays until it is killed", () => {
  const { steps } = connect("", [], { pid: 9 });
  assert.match(show(steps), / --no-netns-quit 9$/);
  const spawn = steps.at(-1);
  assert.ok(spawn?.tool === "spawn" && spawn.run.includes("killed") && spawn.again?.at(-1) === "7");
});

test("pasta's refusal names the reason", () => {
  const reason = (text: string, routes6 = true, restricted = false) =>
    pasta.refusal(parsePublish(text)[0]!, { ...host, routes: { 4: true, 6: routes6 } }, restricted);
  for (const port of ["8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80"]) {
    assert.equal(reason(port), undefined);
  }
  assert.match(reason("80:80")!, /ports below 1024 are root's/);
  assert.match(reason("8080:80/sctp")!, /tcp and udp only$/);
  assert.match(reason("[::1]:8080:80", false)!, /no IPv6 default route/);
  assert.match(reason("[::1]:8080:80", true, true)!, /default-restricted has IPv4 only$/);
  assert.match(reason("5353:53/udp", true, true)!, /use --uplink slirp4netns$/);
});

test("pasta does not work on a host without an IPv4 default route", () => {
  assert.equal(pasta.problem(host), undefined);
  assert.match(pasta.problem({ ...host, routes: { 4: false, 6: true } })!, /no IPv4 default route/);
});

test("a range of ports is one rule of pasta's, and what does not follow is another", () => {
  const rules = (...ports: readonly string[]) =>
    show(connect("", ports).steps).match(/--(tcp|udp)-ports=\S+/g);
  assert.deepEqual(rules("20000-20255:30000-30255", "20256:30256", "20257:80"), [
    "--tcp-ports=20000-20256:30000-30256",
    "--tcp-ports=20257:80",
    "--udp-ports=none",
  ]);
  assert.deepEqual(rules("127.0.0.1:81-82:81-82", "127.0.0.2:83:83", "[::1]:90-91:1-2", "53-54:53-54/udp"), [
    "--tcp-ports=127.0.0.1/81-82:81-82",
    "--tcp-ports=127.0.0.2/83:83",
    "--tcp-ports=::1/90-91:1-2",
    "--udp-ports=53-54:53-54",
  ]);
});

test("names are asked for by IPv6, too, where the host's servers have no other addresses", () => {
  const resolvers = { families: { 4: false, 6: true } };
  const { steps, result } = connect("", [], { host: { ...host, resolvers } });
  assert.match(show(steps), / --dns-forward=10\.0\.2\.3 --dns-forward=fd00::3 /);
  assert.deepEqual(result.dns, { nameservers: ["fd00::3"] });
});
