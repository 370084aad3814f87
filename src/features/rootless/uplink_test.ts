import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import type { Host } from "../../drivers/uplinks/uplink.ts";
import type { Offer } from "../../wire/helper/wire.ts";
import { parseUplink } from "../../drivers/uplinks/table.ts";
import type { ContainerRecord } from "../../engine/record.ts";
import { asRunning, chooseUplink, hostOf, serviceFor } from "./uplink.ts";

const routed = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n" +
  "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";

/** A host with these programs; `asked` collects what they were asked. */
function having(programs: Readonly<Record<string, string>>, more: Readonly<Record<string, string>> = {}) {
  const files: Record<string, string> = { "/proc/self/net/route": routed, ...more };
  const asked: string[] = [];
  const world: Partial<World> = {
    env: () => undefined,
    read: (path) => files[path],
    readStart: (path, bytes) => files[path]?.slice(0, bytes),
    write: (path, text) => void (files[path] = text),
    stat: (path) =>
      programs[path] === undefined
        ? undefined
        : { kind: "file", identity: path, uid: 0, modified: programs[path].length, mode: 0o755 },
    run: (argv) => {
      asked.push(argv.join(" "));
      const [version, help = ""] = programs[argv[0]!]!.split("|");
      return Promise.resolve({ code: 0, stdout: argv[1] === "--help" ? help : version!, stderr: "" });
    },
  };
  return { world: world as World, asked, files };
}

async function chosen(
  world: World,
  ports = "",
  uplink?: string,
  restricted = false,
): Promise<string> {
  const options = {
    ports: ports.split(" ").flatMap((text) => text === "" ? [] : parsePublish(text)),
    restricted,
    ...{ forwarding: {}, limits: {} },
    ...(uplink === undefined ? {} : { uplink: parseUplink(uplink) }),
  };
  return (await chooseUplink(world, "/state", hostOf(world), options)).uplink.name;
}

const [pasta, slirp] = ["/usr/bin/pasta", "/usr/bin/slirp4netns"];

test("the best uplink that works is chosen, and another when it is asked for", async () => {
  const { world } = having({ [pasta]: "pasta 2024_12_11.09478d5", [slirp]: "" });
  assert.equal(await chosen(world), "pasta");
  assert.equal(await chosen(world, "", "slirp4netns:mtu=1500"), "slirp4netns");
  assert.equal(await chosen(having({ [slirp]: "" }).world), "slirp4netns");
});

test("more scattered ports than pasta has rules for are published by another, or refused", async () => {
  const scattered = (count: number) =>
    Array.from({ length: count }, (_, i) => `${20000 + 2 * i}:80`).join(" ");
  const { world } = having({ [pasta]: "pasta 2024_12_11.09478d5", [slirp]: "" });
  assert.equal(await chosen(world, scattered(255)), "pasta");
  assert.equal(await chosen(world, `${scattered(254)} 30000-30999:30000-30999`), "pasta");
  assert.equal(await chosen(world, scattered(256)), "slirp4netns");
  for (
    const [there, uplink] of [[world, "pasta"], [
      having({ [pasta]: "pasta 2024_12_11.09478d5" }).world,
    ]] as const
  ) {
    await assert.rejects(
      chosen(there, `${scattered(200)} ${scattered(56).replaceAll(" ", "/udp ")}/udp`, uplink),
      /^Error: Cannot publish 256 ports by pasta: they are 256 rules, and it takes 255; .* --port-driver relay$/,
    );
  }
});

test("an uplink that cannot publish the ports is passed over", async () => {
  const { world } = having({ [pasta]: "pasta 2024_12_11.09478d5", [slirp]: "" });
  assert.equal(await chosen(world, "5353:53/udp", undefined, true), "slirp4netns");
  await assert.rejects(chosen(world, "80:80/sctp"), { message: /: pasta forwards tcp and udp only$/ });
});

test("an uplink that publishes the ports by itself goes before one that needs the relay", async () => {
  const [both, old] = [{ [pasta]: "pasta 2024_12_11.09478d5", [slirp]: "" }, { [slirp]: "" }];
  assert.equal(await chosen(having(both).world, "127.0.0.1:5353:53/udp", undefined, true), "pasta");
  assert.equal(await chosen(having(old).world, "127.0.0.1:5353:53/udp"), "slirp4netns");
});

test("a version is understood however it is said, and asked once for each file", async () => {
  const rows = [
    ["pasta 2024_02_20.1e6f92b", "pasta"],
    ["pasta 0^20240906.g6b38f07-1.fc40.x86_64", "pasta"],
    ["pasta unknown version|  --map-host-loopback ADDR", "pasta"],
    ["pasta 2024_01_16.c7f1b8e", "slirp4netns"],
    ["pasta unknown version|  --no-map-gw", "slirp4netns"],
  ] as const;
  for (const [says, best] of rows) {
    const { world, asked } = having({ [pasta]: says, [slirp]: "" });
    assert.equal(await chosen(world), best, says);
    assert.equal(await chosen(world), best, says);
    assert.deepEqual(asked, [`${pasta} --version`, `${pasta} --help`], says);
  }
});

test("another file of the name is asked anew", async () => {
  const { world, asked, files } = having({ [pasta]: "pasta 2024_12_11", [slirp]: "" });
  files["/state/pasta.version"] = "8:1:1700000000000 2023_03\n";
  assert.equal(await chosen(world), "pasta");
  assert.equal(asked.length, 2);
  assert.equal(files["/state/pasta.version"], `${pasta}:16 2024_12\n`);
});

test("what dpkg knows counts where neither version nor options tell", async () => {
  const status = (version: string) => ({
    "/var/lib/dpkg/status":
      `Package: passt\nStatus: install ok installed\nVersion: 0.0~git${version}.1e6f92b-1\n\n`,
  });
  const programs = { [pasta]: "pasta unknown version", [slirp]: "" };
  assert.equal(await chosen(having(programs, status("20240220")).world), "pasta");
  assert.equal(await chosen(having(programs, status("20230309")).world), "slirp4netns");
});

test("what is asked for and cannot be is refused with the reason", async () => {
  const old = having({ [pasta]: "pasta 2023_03_09.7c7625d", [slirp]: "" }).world;
  await assert.rejects(chosen(old, "", "pasta"), {
    message: /^Cannot use uplink "pasta": \/usr\/bin\/pasta is 2023_03, and it is used from 2024_02 on: /,
  });
  await assert.rejects(chosen(having({}).world, "", "slirp4netns"), {
    message: 'Cannot use uplink "slirp4netns": slirp4netns is not on PATH; install slirp4netns',
  });
  await assert.rejects(chosen(having({}).world), {
    message: 'Cannot use uplink "pasta": pasta is not on PATH; install passt; ' +
      'Cannot use uplink "slirp4netns": slirp4netns is not on PATH; install slirp4netns',
  });
});

test("root's service is the best where it answers, and no problem where it is not there", async () => {
  const { world } = having({ [pasta]: "pasta 2024_12_11.09478d5" });
  const uplinkWith = async (answer: string, restricted = false, published = "") => {
    const there: World = {
      ...world,
      uid: 1000,
      stat: (path) =>
        path === "/run/ocinet-helper/1000"
          ? { kind: "socket", identity: "", uid: 1000, modified: 0, mode: 0o600 }
          : world.stat(path),
      request: () => Promise.resolve(answer),
    };
    const host = { ...hostOf(there), ...await serviceFor(there) };
    const ports = published === "" ? [] : parsePublish(published);
    const options = { restricted, ports, forwarding: {}, limits: {} };
    return (await chooseUplink(there, "/state", host, options)).uplink.name;
  };
  const offer = '{"return":{"networks":[{"name":"ocinet0","free":1}],"ports":[]}}';
  assert.equal(await uplinkWith(offer), "helper");
  assert.equal(await uplinkWith(offer, true), "pasta");
  assert.equal(await uplinkWith(offer, false, "8080:80"), "pasta");
  assert.equal(await uplinkWith(offer.replace('"free":1', '"free":0')), "pasta");
  assert.equal(await uplinkWith('{"error":{"desc":"no"}}'), "pasta");
  assert.equal(await uplinkWith(""), "pasta");
});

test("lxc-user-nic comes after root's service, where a program serves DHCP, or where it is asked for", async () => {
  const { world } = having({ [slirp]: "" });
  const uplinkWith = async (servesDhcp: boolean, more: { uplink?: string; published?: string } = {}) => {
    const bridges = [{ name: "lxcbr0", there: true, servesDhcp }];
    const host = { ...hostOf(world), userNic: { path: "/lxc-user-nic", user: "ann", bridges } };
    const options = { restricted: false, forwarding: {}, limits: {} };
    const ports = more.published === undefined ? [] : parsePublish(more.published);
    const uplink = more.uplink === undefined ? {} : { uplink: parseUplink(more.uplink) };
    return (await chooseUplink(world, "/state", host, { ...options, ports, ...uplink })).uplink.name;
  };
  assert.equal(await uplinkWith(true), "lxc-user-nic");
  assert.equal(await uplinkWith(false), "slirp4netns");
  assert.equal(await uplinkWith(false, { uplink: "lxc-user-nic" }), "lxc-user-nic");
  // The relay would hide who connects.
  assert.equal(await uplinkWith(true, { published: "8080:80" }), "slirp4netns");
  await assert.rejects(uplinkWith(true, { uplink: "lxc-user-nic:bridge=br1" }), {
    message: /no link on "br1"/,
  });
});

test("hostOf() tells default routes from others, and from the one that refuses", () => {
  const none = "0".repeat(32);
  const row = (to: string, length: string, link: string) =>
    `${to} ${length} ${none} 00 ${none} ffffffff 00000001 00000000 00200200 ${link.padStart(8)}\n`;
  const routes = (v4: string, v6: string) =>
    hostOf(having({}, { "/proc/self/net/route": v4, "/proc/self/net/ipv6_route": v6 }).world).routes;
  assert.deepEqual(routes(routed, row(none, "00", "eth0")), { 4: true, 6: true });
  const local = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
  assert.deepEqual(routes(local, row("fe80".padEnd(32, "0"), "40", "eth0") + row(none, "00", "lo")), {
    4: false,
    6: false,
  });
  assert.deepEqual(routes("", ""), { 4: false, 6: false });
  // The kernel has its own routes in that table as well.
  assert.deepEqual(routes("", row("fd00".padEnd(32, "0"), "80", "lo") + row(none, "00", "eth0")), {
    4: false,
    6: true,
  });
});

test("asRunning() names the program's socket, also if root's service had refused, and the service's if there is no program", () => {
  const asked = { tool: "send", on: "host", socket: "/service", undo: "detach" } as const;
  const started = (name: string) => ({ tool: "spawn", on: "host", name, cleanupPaths: [`/${name}`] });
  const socketOf = (...steps: readonly unknown[]) => {
    const attachments = [{ result: { ips: [{ address: "10.0.2.100/24" }] } }];
    return asRunning({ id: "c1", attachments, steps } as unknown as ContainerRecord).socket;
  };
  assert.equal(socketOf(started("slirp4netns"), started("relay")), "/slirp4netns");
  assert.equal(socketOf(asked, started("slirp4netns")), "/slirp4netns");
  assert.equal(socketOf(asked, started("relay")), "/service");
});

test("an uplink by which no names are found comes after the others, unless servers are asked for", async () => {
  const { world } = having({ [pasta]: "pasta 2024_12_11.09478d5", [slirp]: "" });
  const six = { families: { 4: false, 6: true } };
  const taken = async (more: Partial<Host>, resolv?: string, ports = "") => {
    const host = { ...hostOf(world), ipv6: true, ...more };
    const options = {
      ...{
        ports: ports.split(" ").flatMap((text) => text === "" ? [] : parsePublish(text)),
        restricted: false,
        forwarding: {},
        limits: {},
      },
      ...(resolv === undefined ? {} : { files: { resolv } }),
    };
    return (await chooseUplink(world, "/state", host, options)).uplink.name;
  };
  assert.equal(await taken({ resolvers: { families: { 4: true, 6: false } } }), "pasta");
  assert.equal(await taken({ resolvers: six }), "slirp4netns");
  assert.equal(await taken({ resolvers: six, routes: { 4: true, 6: true } }), "pasta");
  assert.equal(await taken({ resolvers: six }, "host"), "pasta");
  // By the relay, with names, goes before by itself, without.
  assert.equal(await taken({ resolvers: six }, undefined, "[::1]:8080:80"), "slirp4netns");
  assert.equal(await taken({ resolvers: six, ipv6: false }), "pasta");
  const offer = { networks: [{ name: "ocinet0", free: 1 }], ports: [] } as unknown as Offer;
  const service = { socket: "/s", offer };
  const own = { families: { 4: true, 6: false } };
  assert.equal(await taken({ service, resolvers: own, names: {} }), "pasta");
  assert.equal(await taken({ service, resolvers: own, names: { nameservers: ["192.0.2.9"] } }), "helper");
});
