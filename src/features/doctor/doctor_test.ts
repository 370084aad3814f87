import assert from "node:assert/strict";
import { test } from "node:test";
import type { Output, Stat, World } from "../../plan/world.ts";
import { examine, type Finding } from "./doctor.ts";

/** The differences from a machine that has everything. */
interface Machine {
  readonly uid: number;
  readonly runtime?: World["runtime"];
  readonly env?: Readonly<Record<string, string>>;
  readonly without?: readonly string[];
  /** The output of commands, in place of a recent version. */
  readonly says?: Readonly<Record<string, string>>;
  /** The features that the kernel lacks. */
  readonly unable?: readonly string[];
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly links?: Readonly<Record<string, string>>;
  readonly lists?: Readonly<Record<string, readonly string[]>>;
  readonly stats?: Readonly<Record<string, Partial<Stat> | undefined>>;
}

const programs = (
  "ip tc nft nsenter unshare slirp4netns pasta setsid runc crun conntrack udhcpc hostname flock newuidmap newgidmap " +
  "iptables ip6tables iptables-legacy getcap bridge mount setpriv getent tail env sysctl usermod"
).split(" ");

const healthyFiles: Readonly<Record<string, string>> = {
  "/etc/os-release": "ID=debian\n",
  "/etc/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
  "/etc/subuid": "bob:100000:65536\nann:165536:65536\n",
  "/etc/subgid": "1000:100000:65536\n",
  "/etc/resolv.conf": "nameserver 192.0.2.53\n",
  "/proc/self/net/route": "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
  "/proc/self/status": "Gid:\t1000\t1000\t1000\t1000\nGroups:\t27 \n",
  "/proc/self/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
  "/proc/sys/net/ipv4/ip_forward": "0\n",
  "/proc/sys/net/ipv4/ip_unprivileged_port_start": "1024\n",
  "/proc/sys/net/ipv4/ping_group_range": "0\t2147483647\n",
  "/proc/sys/user/max_user_namespaces": "15000\n",
};

const healthyVersions: Readonly<Record<string, string>> = {
  "/usr/bin/nft --version": "nftables v1.0.6 (Lester Gooch #5)",
  "/usr/bin/pasta --version": "pasta 2024_12_11.09478d5",
  "/usr/bin/crun --version": "crun version 1.21",
  "/usr/bin/deno --version": "deno 2.9.5 (stable)",
  "/usr/bin/node --version": "v20.20.2",
  "/usr/bin/tail --help": "      --pid=PID",
  "/usr/bin/env --help": "      --default-signal[=SIG]",
  "nft -j list chains": '{"nftables": []}',
};

/** A World without any function that changes a machine, so that a doctor that tried would fail. */
function worldOf(machine: Machine): World {
  const runtime = machine.runtime ?? "deno";
  const files = { ...healthyFiles, ...machine.files };
  const world: Partial<World> = {
    runtime,
    pid: 1,
    uid: machine.uid,
    runtimePath: `/usr/bin/${runtime}`,
    env: (name) => machine.env?.[name],
    read: (path) => files[path],
    readStart: (path, bytes) => files[path]?.slice(0, bytes),
    list: (path) => machine.lists?.[path] ?? [],
    stat: (path) => statOf(machine, path),
    readLink: (path) => machine.links?.[path],
    run: (argv) => Promise.resolve(answer(machine, argv)),
  };
  return world as World;
}

function statOf({ stats, without, uid }: Machine, path: string): Stat | undefined {
  const file: Stat = { kind: "file", identity: "1:1", uid: 0, modified: 0, mode: 0o755 };
  if (stats && path in stats) return stats[path] && { ...file, ...stats[path] };
  if (path === "/proc/sys/net/ipv4/ip_forward") return file;
  if (path === "/dev/net/tun") return { ...file, kind: "other", mode: 0o666 };
  if (path === `/run/user/${uid}`) return { ...file, kind: "directory", uid, mode: 0o700 };
  const name = /^\/usr\/bin\/(.*)$/.exec(path)?.[1];
  if (name === undefined || !programs.includes(name) || without?.includes(name)) return undefined;
  return { ...file, mode: /^new[ug]idmap$/.test(name) ? 0o4755 : 0o755 };
}

function answer({ says, unable }: Machine, argv: readonly string[]): Output {
  const words = argv.join(" ");
  const said = says?.[words];
  if (said !== undefined) return { code: said.startsWith("sh: ") ? 2 : 0, stdout: said, stderr: said };
  if (argv[0] === "unshare") return tryAll(argv.slice(argv.lastIndexOf("sh") + 1), unable ?? []);
  if (argv[0] === "sh" || argv[0] === "getcap") return { code: 0, stdout: "", stderr: "" };
  if (words.startsWith("nft list")) {
    return { code: 1, stdout: "", stderr: "Error: No such file or directory" };
  }
  return { code: 0, stdout: healthyVersions[words] ?? "version 9.9", stderr: "" };
}

function tryAll(pairs: readonly string[], unable: readonly string[]): Output {
  if (unable.includes("unshare")) {
    return { code: 1, stdout: "", stderr: "unshare: unshare failed: Operation not permitted" };
  }
  const names = pairs.filter((_, i) => i % 2 === 0);
  const rows = names.map((name) =>
    unable.includes(name) ? `${name}\t2\tError: Unknown device type.\n` : `${name}\t0\t\n`
  );
  return { code: 0, stdout: rows.join(""), stderr: "" };
}

/** All findings that are not ok, as text. */
async function complaints(machine: Machine): Promise<readonly string[]> {
  const findings = await examine(worldOf(machine));
  return findings.filter(({ status }) => status !== "ok").map(show);
}

function show({ status, name, found, remedy }: Finding): string {
  return `${status} ${name}: ${found} -> ${remedy}`;
}

for (const uid of [0, 1000]) {
  test(`doctor has nothing to say to uid ${uid} on a machine that has everything`, async () => {
    assert.deepEqual(await complaints({ uid }), []);
  });
}

const osrelease = { "/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n" };
const modulesDep = "/lib/modules/6.1.0-50-amd64/modules.dep";
const defaultRoute6 = `${"0".repeat(32)} 00 ${
  "0".repeat(32)
} 00 fe80 00000400 00000001 00000000 00000003 eth0\n`;
const forwardDrop = "chain FORWARD {\n type filter hook forward priority filter; policy drop;\n}";

const forwardChain =
  '{"nftables": [{"chain": {"family": "inet", "table": "fw", "name": "forward", "type": "filter", ' +
  '"hook": "forward", "prio": 0, "policy": "drop"}}]}';

/** One problem at a time, with all of doctor's findings for it. */
const masqueraded = `table inet ocinet {
	set masquerade4 {
		elements = { "veth1" . 10.1.1.2, "veth2" . 10.1.1.3 }
	}
	set masquerade6 {
		elements = { "veth1" . fd00::2 }
	}
}`;

const cases: readonly (readonly [string, Machine, string])[] = [
  [
    "no ip",
    { uid: 0, without: ["ip"] },
    "missing ip: not found; it makes links, addresses and routes -> apt-get install iproute2",
  ],
  [
    "no nft",
    { uid: 0, without: ["nft"] },
    "missing nft: not found; it masquerades, isolates networks, publishes ports, and keeps --egress and default-restricted -> apt-get install nftables",
  ],
  [
    "no nft, rootless",
    { uid: 1000, without: ["nft"] },
    "warning nft: not found; it masquerades, isolates networks, publishes ports, and keeps --egress and default-restricted; root's containers need it -> as root: apt-get install nftables",
  ],
  [
    "old nft",
    { uid: 0, says: { "/usr/bin/nft --version": "nftables v0.9.8" } },
    "missing nft: 0.9.8 (/usr/bin/nft) is older than 1.0 -> upgrade; Debian 12 has a newer nftables",
  ],
  [
    "no nsenter",
    { uid: 1000, without: ["nsenter"] },
    "missing nsenter: not found; it enters containers -> as root: apt-get install util-linux",
  ],
  [
    "no flock on Node",
    { uid: 0, runtime: "node", without: ["flock"] },
    "missing flock: not found; it locks files for Node, which cannot -> apt-get install util-linux",
  ],
  [
    "no GNU tail",
    { uid: 1000, without: ["pasta"], says: { "/usr/bin/tail --help": "BusyBox v1.35.0" } },
    "missing tail: /usr/bin/tail has no --pid; it tells slirp4netns that a container has ended which has no process ids of its own -> as root: apt-get install coreutils",
  ],
  [
    "no GNU tail, which pasta does without",
    { uid: 1000, says: { "/usr/bin/tail --help": "BusyBox v1.35.0" } },
    "warning tail: /usr/bin/tail has no --pid; it tells slirp4netns that a container has ended which has no process ids of its own -> as root: apt-get install coreutils",
  ],
  [
    "no uplink",
    { uid: 1000, without: ["slirp4netns", "pasta"] },
    "missing uplink: none works; it connects rootless containers -> as root: apt-get install slirp4netns",
  ],
  [
    "no uplink, root",
    { uid: 0, without: ["slirp4netns", "pasta"] },
    "warning uplink: none works; it connects rootless containers; rootless containers need it -> apt-get install slirp4netns",
  ],
  [
    "another distribution",
    { uid: 0, without: ["nft"], files: { "/etc/os-release": "ID=fedora\n" } },
    'missing nft: not found; it masquerades, isolates networks, publishes ports, and keeps --egress and default-restricted -> install the package that has "nft" (Debian calls it nftables)',
  ],
  [
    "old pasta",
    { uid: 1000, says: { "/usr/bin/pasta --version": "pasta 2023_03_09.7c7625d" } },
    "warning pasta: /usr/bin/pasta is 2023_03, and it is used from 2024_02 on: older ones do not end with the container, and stall servers that speak first, such as SSH -> none is needed, as slirp4netns is used; or upgrade; Debian 13 has a newer passt",
  ],
  [
    "no default route for pasta",
    { uid: 1000, files: { "/proc/self/net/route": "", "/proc/self/net/ipv6_route": defaultRoute6 } },
    "warning pasta: the host has no IPv4 default route, of which pasta makes the container's -> none is needed, as slirp4netns is used; or as root: ip route add default via ROUTER, with the address of this network's router",
  ],
  [
    "no default route",
    { uid: 0, files: { "/proc/self/net/route": "" }, without: ["pasta"] },
    "warning default route: none; containers reach no further than the networks this machine is on -> ip route add default via ROUTER, with the address of this network's router",
  ],
  [
    "no newuidmap",
    { uid: 1000, without: ["newuidmap"] },
    "warning newuidmap: not found; rootless containers with more than one user need it -> as root: apt-get install uidmap",
  ],
  [
    "newgidmap not setuid",
    { uid: 1000, stats: { "/usr/bin/newgidmap": { mode: 0o755 } } },
    "warning newgidmap: /usr/bin/newgidmap is neither setuid nor has file capabilities; rootless containers with more than one user need it -> as root: chmod u+s /usr/bin/newgidmap",
  ],
  [
    "newuidmap of another",
    { uid: 1000, stats: { "/usr/bin/newuidmap": { uid: 7, mode: 0o4755 } } },
    "warning newuidmap: /usr/bin/newuidmap is of user 7, not of root; rootless containers with more than one user need it -> as root: chown root:root /usr/bin/newuidmap && chmod u+s /usr/bin/newuidmap",
  ],
  [
    "no conntrack",
    { uid: 0, without: ["conntrack"] },
    "warning conntrack: not found; it makes clients of a published UDP port notice at once that its container was replaced -> apt-get install conntrack",
  ],
  [
    "no udhcpc",
    { uid: 0, without: ["udhcpc"] },
    "warning udhcpc: not found; it gets addresses by DHCP -> apt-get install udhcpc",
  ],
  [
    "old Deno",
    { uid: 0, says: { "/usr/bin/deno --version": "deno 1.46.3" } },
    "missing runtime: Deno 1.46.3 (/usr/bin/deno) is older than 2.0 -> install Deno 2 or later, or Node 20.16 or later",
  ],
  [
    "old Node",
    { uid: 0, runtime: "node", says: { "/usr/bin/node --version": "v20.9.0" } },
    "missing runtime: Node 20.9.0 (/usr/bin/node) is older than 20.16 -> install Deno 2 or later, or Node 20.16 or later",
  ],
  [
    "kernel without veth",
    { uid: 0, unable: ["veth"] },
    "missing kernel: veth: does not work (Error: Unknown device type.); it is for every network -> boot a kernel with CONFIG_VETH, such as Debian's own",
  ],
  [
    "kernel without VLANs",
    { uid: 0, unable: ["vlan"] },
    'warning kernel: vlan: does not work (Error: Unknown device type.); it is for type "vlan" -> boot a kernel with CONFIG_VLAN_8021Q, such as Debian\'s own',
  ],
  [
    "kernel without nft's fib",
    { uid: 0, unable: ["nft fib"] },
    "missing kernel: nft fib: does not work (Error: Unknown device type.); it is for every network -> boot a kernel with CONFIG_NFT_FIB_INET, such as Debian's own",
  ],
  [
    "kernel whose module is not loaded",
    { uid: 0, unable: ["vlan"], files: { ...osrelease, [modulesDep]: "kernel/net/8021q/8021q.ko.xz:\n" } },
    'warning kernel: vlan: does not work (Error: Unknown device type.); it is for type "vlan" -> modprobe 8021q',
  ],
  [
    "kernel whose modules are gone",
    { uid: 0, unable: ["vlan"], files: osrelease, lists: { "/lib/modules": ["6.1.0-51-amd64"] } },
    'warning kernel: vlan: does not work (Error: Unknown device type.); it is for type "vlan" -> reboot: the modules of the running kernel 6.1.0-50-amd64 are gone, as after an upgrade',
  ],
  [
    "root without power",
    { uid: 0, unable: ["unshare"] },
    "missing kernel: network namespaces: cannot be made: unshare: unshare failed: Operation not permitted -> run this where root has CAP_SYS_ADMIN and CAP_NET_ADMIN, not in a container without them",
  ],
  [
    "no user namespaces",
    { uid: 1000, unable: ["unshare"] },
    "missing kernel: user namespaces: do not work (unshare: unshare failed: Operation not permitted) -> set the sysctl that has a remedy here, if one has; in a container, have it started with a seccomp profile that allows unshare(2); else take a kernel with CONFIG_USER_NS",
  ],
  [
    "max_user_namespaces 0",
    { uid: 1000, files: { "/proc/sys/user/max_user_namespaces": "0\n" } },
    'missing sysctl user.max_user_namespaces: 0; no user may have user namespaces -> as root: sysctl -w user.max_user_namespaces=15000; to keep it: echo "user.max_user_namespaces = 15000" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "max_net_namespaces 0, without procps",
    { uid: 0, without: ["sysctl"], files: { "/proc/sys/user/max_net_namespaces": "0\n" } },
    'missing sysctl user.max_net_namespaces: 0; no user may have network namespaces -> echo 15000 >/proc/sys/user/max_net_namespaces; to keep it: echo "user.max_net_namespaces = 15000" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "unprivileged_userns_clone 0",
    { uid: 1000, files: { "/proc/sys/kernel/unprivileged_userns_clone": "0\n" } },
    'missing sysctl kernel.unprivileged_userns_clone: 0; only root may have user namespaces -> as root: sysctl -w kernel.unprivileged_userns_clone=1; to keep it: echo "kernel.unprivileged_userns_clone = 1" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "AppArmor's restriction",
    {
      uid: 1000,
      files: { "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n" },
      stats: { "/etc/apparmor.d/slirp4netns": {} },
    },
    'warning sysctl kernel.apparmor_restrict_unprivileged_userns: 1; runc has no AppArmor profile, and no power in the namespaces of rootless containers -> as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; to keep it: echo "kernel.apparmor_restrict_unprivileged_userns = 0" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "more ports are root's",
    { uid: 1000, files: { "/proc/sys/net/ipv4/ip_unprivileged_port_start": "32768\n" } },
    'warning sysctl net.ipv4.ip_unprivileged_port_start: 32768; ports below that cannot be published -> as root: sysctl -w net.ipv4.ip_unprivileged_port_start=1024; to keep it: echo "net.ipv4.ip_unprivileged_port_start = 1024" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "no ping",
    { uid: 1000, files: { "/proc/sys/net/ipv4/ping_group_range": "1\t0\n" } },
    'warning sysctl net.ipv4.ping_group_range: 1 0; no group of yours is in it, so no ping gets out of rootless containers -> as root: sysctl -w net.ipv4.ping_group_range="0 2147483647"; to keep it: echo "net.ipv4.ping_group_range = 0 2147483647" >>/etc/sysctl.d/ocinet.conf',
  ],
  [
    "no /dev/net/tun",
    { uid: 1000, stats: { "/dev/net/tun": undefined } },
    "missing /dev/net/tun: not there -> as root: modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 200",
  ],
  ["/dev/net/tun shut", {
    uid: 1000,
    says: { "sh -c exec 3<>/dev/net/tun": "sh: 1: cannot create /dev/net/tun: Permission denied" },
  }, "missing /dev/net/tun: cannot be opened (Permission denied) -> as root: chmod 666 /dev/net/tun"],
  [
    "/dev/net/tun shut to others",
    { uid: 0, stats: { "/dev/net/tun": { mode: 0o600 } } },
    "warning /dev/net/tun: can be opened by root only; rootless containers need it -> chmod 666 /dev/net/tun",
  ],
  [
    "no subuids",
    { uid: 1000, files: { "/etc/subuid": "bob:100000:65536\n" } },
    "warning /etc/subuid: 0 ids for ann, of 65536 that images use; rootless containers with more than one user need them -> as root: usermod --add-subuids 165536-231071 ann",
  ],
  [
    "few subgids",
    { uid: 1000, files: { "/etc/subgid": "ann:100000:1000\n" } },
    "warning /etc/subgid: 1000 ids for ann, of 65536 that images use; rootless containers with more than one user need them -> as root: usermod --add-subgids 101000-166535 ann",
  ],
  [
    "user without a name",
    { uid: 1000, files: { "/etc/passwd": "", "/etc/subuid": undefined } },
    "warning /etc/subuid: 0 ids for user 1000, of 65536 that images use; rootless containers with more than one user need them -> as root: echo 1000:100000:65536 >>/etc/subuid",
  ],
  [
    "a resolver on loopback",
    {
      uid: 0,
      files: {
        "/etc/resolv.conf": "nameserver 127.0.0.53\n",
        "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
      },
    },
    "warning /etc/resolv.conf: 127.0.0.53 is this machine itself, which a container cannot reach -> give containers other servers, not --dns=host: --dns 192.0.2.1,192.0.2.2",
  ],
  [
    "no resolver",
    {
      uid: 1000,
      files: { "/etc/resolv.conf": "search example.org\n" },
      stats: { "/etc/resolv.conf": {} },
    },
    "warning /etc/resolv.conf: names no server -> give containers one with --dns, such as --dns 9.9.9.9",
  ],
  [
    "no resolv.conf",
    { uid: 1000, files: { "/etc/resolv.conf": undefined } },
    "warning /etc/resolv.conf: leads to no file -> " +
    "as root: rm -f /etc/resolv.conf; echo nameserver 9.9.9.9 >/etc/resolv.conf",
  ],
  [
    "resolv.conf out of the sandbox",
    {
      uid: 1000,
      without: ["pasta"],
      files: { "/etc/resolv.conf": "nameserver 127.0.0.1\n" },
      links: { "/etc/resolv.conf": "resolv.own", "/etc/resolv.own": "../mnt/wsl/resolv.conf" },
    },
    "warning /etc/resolv.conf: no names are found by uplink slirp4netns: /mnt/wsl/resolv.conf is out of its sandbox, " +
    'and no name server is reached without it -> as root: cp --remove-destination "$(readlink -f /etc/resolv.conf)" ' +
    "/etc/resolv.conf",
  ],
  [
    "processes of others hidden",
    {
      uid: 1000,
      files: { "/proc/self/mountinfo": "22 1 0:20 / /proc rw,relatime - proc proc rw,hidepid=invisible\n" },
    },
    "warning /proc: hides processes of others (hidepid); rootless crun's containers cannot be connected -> as root: mount " +
    "-o remount,hidepid=0 /proc; or with gid= of a group that you are in",
  ],
  [
    "a mistyped key of a network",
    {
      uid: 0,
      files: { "/etc/ocinet/net.d/a.conf": '{ "name": "shop", "type": "bridge", "isGatway": true }' },
      lists: { "/etc/ocinet/net.d": ["a.conf"] },
      stats: { "/etc/ocinet/net.d/a.conf": { kind: "file" } },
    },
    'warning networks: "isGatway" is not read, "isGateway" is of bridge (network "shop", /etc/ocinet/net.d/a.conf) -> ' +
    "correct the file, unless it is meant so",
  ],
  [
    "a network that cannot be read",
    {
      uid: 0,
      files: { "/etc/ocinet/net.d/a.conf": "{" },
      lists: { "/etc/ocinet/net.d": ["a.conf"] },
      stats: { "/etc/ocinet/net.d/a.conf": { kind: "file" } },
    },
    "warning networks: Cannot read network file /etc/ocinet/net.d/a.conf: it is not JSON: it ends at line 1, column 2, " +
    'where a key in double quotes or "}" is expected -> mend that file, or move it away; its network cannot be used until then',
  ],
  [
    "resolvers of IPv6 only",
    { uid: 1000, without: ["slirp4netns"], files: { "/etc/resolv.conf": "nameserver ::1\n" } },
    "warning /etc/resolv.conf: no names are found by uplink pasta: the host's name servers have IPv6 addresses only, " +
    "and pasta without an IPv6 default route no IPv6 -> give containers others: --dns 9.9.9.9",
  ],
  [
    "state of another",
    { uid: 1000, stats: { "/run/user/1000/ocinet": { kind: "directory", uid: 7, mode: 0o700 } } },
    "missing state directory: /run/user/1000/ocinet is of user 7, mode 0700; it has to be yours alone to write -> as root: mv /run/user/1000/ocinet /run/user/1000/ocinet.old",
  ],
  [
    "state for all to write",
    { uid: 0, stats: { "/run/ocinet": { kind: "directory", uid: 0, mode: 0o1777 } } },
    "missing state directory: /run/ocinet is of user 0, mode 1777; it has to be yours alone to write -> chmod go-w /run/ocinet",
  ],
  [
    "state in a relative place",
    { uid: 0, env: { OCINET_STATE_DIR: "here" } },
    'missing state directory: "here" is not an absolute path -> unset OCINET_STATE_DIR; or export OCINET_STATE_DIR=PATH, an absolute path to a directory of your own',
  ],
  [
    "state in a long place",
    { uid: 1000, env: { OCINET_STATE_DIR: `/${"x".repeat(90)}` } },
    `missing state directory: /${
      "x".repeat(90)
    } is too long: a socket's path in it has more than 107 bytes -> unset OCINET_STATE_DIR; or export OCINET_STATE_DIR=PATH, an absolute path to a directory of your own`,
  ],
  [
    "state where hooks do not look",
    { uid: 0, env: { OCINET_STATE_DIR: "/srv/o" } },
    "warning state directory: /srv/o by your environment; a hook that runs without it, as some engines do, looks in /run/ocinet -> unset OCINET_STATE_DIR; or see that the hooks' env in config.json has them",
  ],
  [
    "state that a reboot leaves",
    { uid: 1000, stats: { "/run/user/1000": undefined } },
    "warning state directory: /tmp/ocinet-1000, as you have no /run/user/1000; many systems clear /tmp of old files, of running containers' too -> log in by ssh or at a console, not by su; or as root: install -d -m 700 -o 1000 /run/user/1000",
  ],
  [
    "state that goes at logout",
    { uid: 1000, stats: { "/run/systemd/system": { kind: "directory" } } },
    "warning systemd linger: no; when you have logged out, systemd removes /run/user/1000, and with it what is known of your containers -> as root: loginctl enable-linger ann",
  ],
  [
    "uplinks that go with a unit",
    {
      uid: 1000,
      files: {
        "/proc/self/cgroup": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n",
      },
      stats: { "/run/systemd/system": { kind: "directory" }, "/var/lib/systemd/linger/ann": {} },
    },
    "warning systemd unit: this is web.service; when that stops, the uplinks end that were started in it, before their containers -> start containers by systemd-run --user --scope COMMAND, or set KillMode=process in the unit",
  ],
  [
    "hybrid cgroups",
    {
      uid: 0,
      files: {
        "/proc/self/mounts":
          "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
      },
      says: { "/usr/bin/crun --version": "crun version 1.8.1" },
    },
    "warning cgroups: hybrid, which crun 1.8.1 refuses -> use runc, or a crun from 1.9 on, such as Debian 13's, or boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
  ],
  [
    "FORWARD drops, no iptables",
    { uid: 0, without: ["iptables"], says: { "nft list chain ip filter FORWARD": forwardDrop } },
    "missing iptables FORWARD: policy DROP, and no iptables to make a rule for our containers' traffic -> apt-get install iptables",
  ],
  [
    "a firewall drops",
    {
      uid: 0,
      says: { "nft -j list chains": forwardChain, "nft list chain inet fw forward": forwardDrop },
    },
    "warning nft inet fw forward: policy drop: what root's containers send is dropped, unless one of its rules lets it pass -> nft insert rule inet fw forward meta mark and 0x10000000 == 0x10000000 accept; to keep it, put that rule into the file that makes the chain, such as /etc/nftables.conf",
  ],
  [
    "a firewall drops what containers ask our resolver",
    {
      uid: 0,
      says: {
        "nft -j list chains": forwardChain.replaceAll('"forward"', '"input"'),
        "nft list chain inet fw input":
          "chain input {\n type filter hook input priority filter; policy drop;\n}",
        "nft list table inet ocinet":
          "table inet ocinet {\n\tset resolvers4 {\n\t\telements = { 10.1.1.1 }\n\t}\n}\n",
      },
    },
    "warning nft inet fw input: policy drop: what root's containers ask a resolver of ocinet's is dropped, unless one of its " +
    "rules lets it pass -> nft insert rule inet fw input meta mark and 0x10000000 == 0x10000000 accept; to keep it, put that " +
    "rule into the file that makes the chain, such as /etc/nftables.conf",
  ],
  [
    "a firewall's last rule rejects",
    {
      uid: 0,
      says: {
        "nft -j list chains": forwardChain.replace('"drop"', '"accept"'),
        "nft list chain inet fw forward":
          "table inet fw {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n" +
          "\t\tct state established,related accept\n\t\tcounter packets 3 bytes 180 reject with icmpx admin-prohibited\n\t}\n}\n",
      },
    },
    "warning nft inet fw forward: its last rule lets nothing pass: what root's containers send is dropped, unless one of its rules lets it pass -> nft insert rule inet fw forward meta mark and 0x10000000 == 0x10000000 accept; to keep it, put that rule into the file that makes the chain, such as /etc/nftables.conf",
  ],
  [
    "FORWARD rejects at its end, rule gone",
    {
      uid: 0,
      says: {
        "cat /proc/self/net/ip_tables_names": "filter\n",
        "iptables-legacy --wait -S FORWARD":
          "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n",
        "nft list table inet ocinet": "table inet ocinet {}",
      },
    },
    "warning iptables-legacy FORWARD: its last rule lets nothing pass, and our rule is gone: traffic of running containers is dropped; repair or the next container puts it back -> iptables-legacy -I FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT",
  ],
  [
    "rules flushed",
    {
      uid: 0,
      says: {
        "nft list table inet ocinet":
          "table inet ocinet {\n\tchain forward {\n\t\ttype filter hook forward priority -1; policy accept;\n\t}\n}\n",
      },
    },
    "warning forwarding: table inet ocinet lacks its rules: no published port works -> " +
    "ocinet repair ID, of any running container",
  ],
  [
    "forwarding switched off since",
    { uid: 0, says: { "nft list table inet ocinet": masqueraded } },
    "warning forwarding: off for containers that run, by net.ipv4.ip_forward: what they send stays on this machine -> " +
    "sysctl -w net.ipv4.ip_forward=1; look for who sets it in /etc/sysctl.d",
  ],
  [
    "forwarding switched off for one link, and for IPv6",
    {
      uid: 0,
      files: {
        "/proc/sys/net/ipv4/ip_forward": "1\n",
        "/proc/sys/net/ipv4/conf/veth1/forwarding": "1\n",
        "/proc/sys/net/ipv4/conf/veth2/forwarding": "0\n",
        "/proc/sys/net/ipv6/conf/all/forwarding": "0\n",
      },
      says: { "nft list table inet ocinet": masqueraded },
    },
    "warning forwarding: off for containers that run, by net.ipv4.conf.veth2.forwarding, " +
    "net.ipv6.conf.all.forwarding: what they send stays on this machine -> sysctl -w net.ipv4.conf.veth2.forwarding=1; " +
    "sysctl -w net.ipv6.conf.all.forwarding=1; look for who sets it in /etc/sysctl.d",
  ],
  [
    "FORWARD drops, rule gone",
    {
      uid: 0,
      says: {
        "nft list chain ip6 filter FORWARD": forwardDrop,
        "nft list table inet ocinet": "table inet ocinet {}",
      },
    },
    "warning ip6tables FORWARD: policy DROP, and our rule is gone: traffic of running containers is dropped; repair or the next container puts it back -> ip6tables -I FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT",
  ],
  [
    "FORWARD of the kernel's own tables drops, rule gone",
    {
      uid: 0,
      says: {
        "cat /proc/self/net/ip_tables_names": "nat\nfilter\n",
        "iptables-legacy --wait -S FORWARD": "-P FORWARD DROP\n",
        "nft list table inet ocinet": "table inet ocinet {}",
      },
    },
    "warning iptables-legacy FORWARD: policy DROP, and our rule is gone: traffic of running containers is dropped; repair or the next container puts it back -> iptables-legacy -I FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT",
  ],
];

for (const [title, machine, expected] of cases) {
  test(`doctor finds: ${title}`, async () => {
    assert.deepEqual(await complaints(machine), [expected]);
  });
}

const userNic = {
  uid: 1000,
  stats: { "/usr/libexec/lxc/lxc-user-nic": { mode: 0o4755 } },
} as const;

test("doctor finds: a bridge of lxc-usernet that is not there", async () => {
  const files = { "/etc/lxc/lxc-usernet": "ann veth lxcbr0 5\n" };
  assert.deepEqual(await complaints({ ...userNic, files }), [
    'warning lxc-user-nic: there is no bridge "lxcbr0", which /etc/lxc/lxc-usernet grants you -> have root make it ' +
    "(systemctl start lxc-net makes lxcbr0, with a DHCP server), or grant another",
  ]);
});

/** States that look wrong but are not. */
const fine: readonly (readonly [string, Machine])[] = [
  ["crun alone, for root", { uid: 0, without: ["runc"] }],
  ["crun alone, rootless", { uid: 1000, without: ["runc"] }],
  ["runc alone", { uid: 1000, without: ["crun"] }],
  ["no flock on Deno", { uid: 0, without: ["flock"] }],
  ["no pasta beside slirp4netns", { uid: 1000, without: ["pasta"] }],
  ["no slirp4netns beside pasta", { uid: 1000, without: ["slirp4netns"] }],
  ["lxc-user-nic that grants nothing", userNic],
  ["no DHCP client for a rootless user", { uid: 1000, without: ["udhcpc", "conntrack"] }],
  ["file capabilities instead of setuid", {
    uid: 1000,
    stats: { "/usr/bin/newuidmap": { mode: 0o755 } },
    says: { "getcap /usr/bin/newuidmap": "/usr/bin/newuidmap cap_setuid=ep" },
  }],
  ["a pasta whose version only Debian knows", {
    uid: 1000,
    files: {
      "/var/lib/dpkg/status":
        "Package: passt\nStatus: install ok installed\nVersion: 0.0~git20250503.587980c-2\n\n",
    },
    says: { "/usr/bin/pasta --version": "pasta unknown version" },
  }],
  ["a pasta of unknown version with newer options", {
    uid: 1000,
    says: {
      "/usr/bin/pasta --version": "pasta unknown version",
      "/usr/bin/pasta --help": "  --map-host-loopback ADDR",
    },
  }],
  ["a loopback resolver for a rootless user", {
    uid: 1000,
    files: { "/etc/resolv.conf": "nameserver 127.0.0.53\n" },
  }],
  ["a session of systemd's, and a user who lingers", {
    uid: 1000,
    files: {
      "/proc/self/cgroup": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-1.scope\n",
    },
    stats: { "/run/systemd/system": { kind: "directory" }, "/var/lib/systemd/linger/ann": {} },
  }],
  ["systemd's resolv.conf", {
    uid: 1000,
    links: { "/etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf" },
  }],
  ["FORWARD drops before our table is made", {
    uid: 0,
    says: { "nft list chain ip filter FORWARD": forwardDrop },
  }],
  ["FORWARD drops, and our rule is there", {
    uid: 0,
    says: {
      "nft list chain ip filter FORWARD": `${forwardDrop} meta mark & 0x10000000 == 0x10000000 accept`,
    },
  }],
];

for (const [title, machine] of fine) {
  test(`doctor is content with: ${title}`, async () => {
    assert.deepEqual(await complaints(machine), []);
  });
}

test("doctor does not load modules that make links", async () => {
  const world = worldOf({
    uid: 0,
    files: {
      ...osrelease,
      [modulesDep]: "kernel/drivers/net/dummy.ko:\nkernel/drivers/net/ifb.ko.xz:\n",
    },
    stats: { "/sys/module/ifb": { kind: "directory" } },
  });
  const ran: string[] = [];
  const run: World["run"] = (argv, options) => {
    ran.push(argv.join("\n"));
    return world.run(argv, options);
  };
  const findings = await examine({ ...world, run });
  assert.equal(
    findings.find(({ name }) => name === "kernel: dummy")?.found,
    "module dummy is there, and not loaded yet",
  );
  assert.equal(findings.find(({ name }) => name === "kernel: ifb")?.found, "works");
  assert.ok(!ran.some((words) => words.includes("type dummy")));
  assert.ok(ran.some((words) => words.includes("type ifb")));
});

test("doctor goes on when one look fails", async () => {
  const world = worldOf({ uid: 0 });
  const failing: World = {
    ...world,
    run: (argv, options) =>
      argv[0] === "/usr/bin/nsenter"
        ? Promise.reject(new Error("no more processes"))
        : world.run(argv, options),
  };
  const findings = await examine(failing);
  const bad = findings.filter(({ status }) => status !== "ok");
  assert.deepEqual(bad, [{
    name: "nsenter",
    status: "warning",
    found: "cannot be looked at: no more processes",
  }]);
  assert.ok(findings.length > 30);
});
