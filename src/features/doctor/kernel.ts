import { baseTableWithoutSockets } from "../../plan/nft/table.ts";
import { bridgeTable } from "../../plan/nft/bridge.ts";
import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { asRoot, type Check, type Finding, kindOf, lack, ok, warn } from "./finding.ts";

/** A command that succeeds only if the kernel has a feature. */
interface Try {
  readonly name: string;
  readonly run: string;
  /** Every container of root needs the feature. Otherwise only what `use` names needs it. */
  readonly needed?: boolean;
  readonly use: string;
  /** The module with the feature, and the kernel's build option. */
  readonly module: string;
  readonly option: string;
  /** Loading the module creates links on the host, so it must not be loaded for a check. */
  readonly intrusive?: boolean;
}

const nat = "add table inet t; add chain inet t";

const tries: readonly Try[] = [
  {
    name: "veth",
    run: "ip link add p0 type veth peer name p1",
    needed: true,
    use: "every network",
    module: "veth",
    option: "VETH",
  },
  {
    name: "bridge",
    run: "ip link add t0 type bridge",
    needed: true,
    use: 'type "bridge"',
    module: "bridge",
    option: "BRIDGE",
  },
  {
    name: "bridge VLANs",
    run: "ip link add t1 type bridge vlan_filtering 1",
    use: '"vlan" and "vlanTrunk" of type "bridge"',
    module: "bridge",
    option: "BRIDGE_VLAN_FILTERING",
  },
  link("macvlan", "link p0 type macvlan", "macvlan", "MACVLAN"),
  link("ipvlan", "link p1 type ipvlan", "ipvlan", "IPVLAN"),
  link("vlan", "link p0 type vlan id 5", "8021q", "VLAN_8021Q"),
  { ...link("dummy", "type dummy", "dummy", "DUMMY"), intrusive: true },
  link("vrf", "type vrf table 10", "vrf", "NET_VRF"),
  link("vxlan", "type vxlan id 5 dstport 4789", "vxlan", "VXLAN"),
  { ...link("ifb", "type ifb", "ifb", "IFB"), intrusive: true },
  {
    name: "ingress",
    run: "tc qdisc add dev lo handle ffff: ingress",
    use: '--rate-in, --rate-out and type "bandwidth"',
    module: "sch_ingress",
    option: "NET_SCH_INGRESS",
  },
  {
    name: "tbf",
    run: "tc qdisc add dev lo root tbf rate 1mbit burst 10kb latency 25ms",
    use: '--rate-in, --rate-out and type "bandwidth"',
    module: "sch_tbf",
    option: "NET_SCH_TBF",
  },
  rules("nat", `nft '${nat} a { type nat hook prerouting priority -100; }'`, "nft_chain_nat", "NFT_NAT"),
  rules(
    "masquerade",
    `nft '${nat} b { type nat hook postrouting priority 100; }; add rule inet t b masquerade'`,
    "nft_masq",
    "NFT_MASQ",
  ),
  rules(
    "fib",
    `nft '${nat} c { type filter hook prerouting priority 0; }; add rule inet t c fib daddr type local accept'`,
    "nft_fib_inet",
    "NFT_FIB_INET",
  ),
  rules(
    "maps",
    "nft 'add table inet t; add map inet t m { type inet_proto . inet_service : ipv4_addr . inet_service; }'",
    "nf_tables",
    "NF_TABLES",
  ),
  rules("ocinet's table", load(baseTableWithoutSockets), "nf_tables", "NF_TABLES_INET"),
  {
    name: "nft bridge",
    run: load(bridgeTable()),
    use: '"macspoofchk" of type "bridge"',
    module: "nf_tables",
    option: "NF_TABLES_BRIDGE",
  },
];

function link(type: string, words: string, module: string, option: string): Try {
  return { name: type, run: `ip link add x-${type} ${words}`, use: `type "${type}"`, module, option };
}

function rules(name: string, run: string, module: string, option: string): Try {
  return {
    name: name === "ocinet's table" ? name : `nft ${name}`,
    run,
    needed: true,
    use: "every network",
    module,
    option,
  };
}

function load(table: string): string {
  return `nft -f - <<'END'\n${table}END`;
}

/** Runs every second argument, and prints its result after the argument before it. */
const script = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
while [ $# -gt 0 ]; do
  said=$(sh -c "$2" 2>&1 </dev/null); printf '%s\\t%s\\t%s\\n' "$1" $? "$(echo $said)"
  shift 2
done`;

/** Checks kernel features by using them in a temporary network namespace. */
export const kernelChecks: readonly Check[] = [
  {
    name: "kernel",
    look: (world) => {
      if (!findProgram(world, "unshare")) return [];
      return kindOf(world) === "root" ? tryAsRoot(world) : tryAsUser(world);
    },
  },
];

async function tryAsRoot(world: World): Promise<readonly Finding[]> {
  const name = "kernel: network namespaces";
  const { trying, waiting } = triesFor(world);
  const outcome = await attempt(world, ["unshare", "--net"], trying);
  if (typeof outcome !== "string") return [...ok(name, "work"), ...judgeAll(world, trying, waiting, outcome)];
  return lack(world, "both", {
    name,
    found: `cannot be made: ${outcome}`,
    remedy: isUsedUp(outcome)
      ? raise
      : "run this where root has CAP_SYS_ADMIN and CAP_NET_ADMIN, not in a container without them",
  });
}

/** The commands that can be tried with the installed programs, and those that must not be tried. */
function triesFor(world: World): { readonly trying: readonly Try[]; readonly waiting: readonly Try[] } {
  const able = tries.filter(({ run }) => findProgram(world, run.split(" ")[0]!));
  const waiting = able.filter((one) => one.intrusive && isLoadable(world, one.module));
  return { trying: able.filter((one) => !waiting.includes(one)), waiting };
}

function judgeAll(
  world: World,
  trying: readonly Try[],
  waiting: readonly Try[],
  outcome: ReadonlyMap<string, string>,
): readonly Finding[] {
  return [
    ...trying.flatMap((one) => judge(world, one, outcome.get(one.name))),
    ...waiting.flatMap(({ name, module }) =>
      ok(`kernel: ${name}`, `module ${module} is there, and not loaded yet`)
    ),
  ];
}

/** ENOSPC: a limit on namespaces is reached. Not all of them are sysctls; the nesting depth is one that is not. */
function isUsedUp(said: string): boolean {
  return said.includes("No space left");
}

const raise =
  "end what holds many namespaces, or raise the limits: sysctl user.max_user_namespaces user.max_net_namespaces shows them";

/** Whether a kernel module is not loaded but could be. */
function isLoadable(world: World, module: string): boolean {
  if (world.stat(`/sys/module/${module}`)) return false;
  const release = world.read("/proc/sys/kernel/osrelease")?.trim();
  return world.read(`/lib/modules/${release}/modules.dep`)?.includes(`/${module}.ko`) ?? false;
}

function judge(world: World, { name, needed, use, module, option }: Try, said: string | undefined) {
  if (said === "") return ok(`kernel: ${name}`, "works");
  // A program that does not start tells nothing about the kernel. It has a finding of its own.
  if (/^[^:]*: error while loading shared libraries/.test(said ?? "")) return [];
  const finding = {
    name: `kernel: ${name}`,
    found: `does not work (${said ?? "no answer"}); it is for ${use}${
      kindOf(world) === "root" ? "" : " in a session"
    }`,
    remedy: kernelRemedy(world, module, option),
  };
  return needed && kindOf(world) === "root"
    ? lack(world, "root", finding)
    : warn(finding.name, finding.found, finding.remedy);
}

function kernelRemedy(world: World, module: string, option: string): string {
  if (isLoadable(world, module)) return asRoot(world, `modprobe ${module}`);
  const release = world.read("/proc/sys/kernel/osrelease")?.trim();
  const kernels = world.list("/lib/modules");
  return kernels.length > 0 && !kernels.includes(release!)
    ? `reboot: the modules of the running kernel ${release} are gone, as after an upgrade`
    : `boot a kernel with CONFIG_${option}, such as Debian's own`;
}

/** Without root, everything that a session needs is tried: there an ordinary user has every type of network. */
async function tryAsUser(world: World): Promise<readonly Finding[]> {
  const name = "kernel: user namespaces";
  // AppArmor lets a program without a profile make a namespace, but gives it no capabilities in it.
  const power = { name, run: findProgram(world, "ip") ? "ip link set dev lo up" : "true" };
  const { trying, waiting } = triesFor(world);
  const outcome = await attempt(world, ["unshare", "--user", "--map-root-user", "--net"], [power, ...trying]);
  const said = typeof outcome === "string" ? outcome : outcome.get(name);
  if (typeof outcome !== "string" && said === "") {
    return [...ok(name, "work"), ...judgeAll(world, trying, waiting, outcome)];
  }
  return lack(world, "rootless", {
    name,
    found: `do not work (${said ?? "no answer"})`,
    remedy: isUsedUp(said ?? "")
      ? raise
      : "set the sysctl that has a remedy here, if one has; in a container, have it started with a seccomp profile " +
        "that allows unshare(2); else take a kernel with CONFIG_USER_NS",
  });
}

/** The error of each command, "" if it succeeded; or the reason why nothing could be tried. */
async function attempt(
  world: World,
  prefix: readonly string[],
  wanted: readonly Pick<Try, "name" | "run">[],
): Promise<ReadonlyMap<string, string> | string> {
  const pairs = wanted.flatMap(({ name, run }) => [name, run]);
  const { code, stdout, stderr } = await world.run([...prefix, "sh", "-c", script, "sh", ...pairs], {
    timeout: 20_000,
  });
  if (code !== 0) return stderr.trim() || `status ${code}`;
  const rows = stdout.split("\n").map((row) => row.split("\t"));
  return new Map(
    rows.map(([name, status, said]) => [name!, status === "0" ? "" : said || `status ${status}`]),
  );
}
