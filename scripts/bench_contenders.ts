/** Who is compared: each attaches a container of the same shape in its own way. */
export interface Contender {
  isInstalled(): boolean;
  prepare?(): Promise<void> | void;
  /** The processors' milliseconds that its programs took since it was asked before. */
  spent?(): number;
  /** Looks and plans, and changes nothing. */
  plan?(id: string, pid: number, port: number): Promise<void>;
  up(id: string, pid: number, port: number): Promise<void>;
  down(id: string, pid: number, port: number): Promise<void>;
}

const subnet = "10.77.0.0/16";

/** Contenders for one job. */
export interface Group {
  readonly title: string;
  /** To whom the others are compared. */
  readonly base: string;
  /** Each has a host of its own making, on which there are to be no other containers. */
  readonly alone?: true;
  readonly contenders: Readonly<Record<string, Contender>>;
}

/** The newest peers, which scripts/setup unpacks beside the system's. */
const peers = Deno.env.get("OCINET_PEERS") ?? "";
const reference = `${peers}/cni`;

/** The jobs by name. */
export const groups: Readonly<Record<string, Group>> = {
  hook: {
    title: "bridge, masquerade and one published port",
    base: "netavark",
    contenders: {
      "ocinet hook, agent on Deno": withAgent(Deno.execPath(), hook(Deno.execPath())),
      "ocinet hook on Deno": hook(Deno.execPath()),
      "ocinet hook on Node": hook("node"),
      "netavark": netavark(),
      "CNI bridge+portmap (Go)": referencePlugins([bridge, portmap]),
    },
  },
  cni: {
    title: "CNI chain of bridge, host-local, portmap, firewall and tuning",
    base: "ocinet cni, Go plugins",
    contenders: {
      "ocinet cni, agent on Deno": withAgent(Deno.execPath(), runtime(Deno.execPath())),
      "ocinet cni on Deno": runtime(Deno.execPath()),
      "ocinet cni on Node": runtime("node"),
      "ocinet cni, Go plugins": runtime(Deno.execPath(), reference),
      "Go plugins, one by one": referencePlugins([bridge, portmap, firewall, tuning]),
    },
  },
};

/** Who is asked for VERSION as the bridge plugin, which runtimes do before they use one; `ours` is that plugin of ours. */
export function versionAskers(ours: string): Readonly<Record<string, () => Promise<string>>> {
  const ask = (plugin: string, runtime = "") => () =>
    run([plugin], "", { CNI_COMMAND: "VERSION", OCINET_RUNTIME: runtime });
  return {
    "ocinet on Deno": ask(ours, Deno.execPath()),
    "ocinet on Node": ask(ours, "node"),
    ...(exists(`${reference}/bridge`) ? { "CNI bridge (Go)": ask(`${reference}/bridge`) } : {}),
  };
}

type Plugin = { readonly type: string } & Readonly<Record<string, unknown>>;

function bridge(): Plugin {
  return {
    ...{ type: "bridge", bridge: "bench0", isDefaultGateway: true, ipMasq: true },
    ipam: { type: "host-local", subnet, dataDir: "/run/leases" },
  };
}

function portmap(port: number): Plugin {
  return { type: "portmap", runtimeConfig: { portMappings: mappings(port) } };
}

function firewall(): Plugin {
  return { type: "firewall" };
}

function tuning(): Plugin {
  return { type: "tuning", mtu: 1400 };
}

function mappings(port: number) {
  return [{ hostPort: port, containerPort: 80, protocol: "tcp" }];
}

/** The words of a program that runs all that contenders run, and measures it. */
const through = Deno.env.get("OCINET_BENCH_THROUGH")?.split(" ") ?? [];

/** Runs a program. @returns what it prints @throws Error when it fails */
export async function run(
  argv: readonly string[],
  input = "",
  env: Record<string, string> = {},
): Promise<string> {
  const [program, ...args] = [...through, ...argv];
  const child = new Deno.Command(program!, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env,
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const [out, problem] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${problem} ${out}`);
  return out!;
}

/** Our hook, on networks of which "bench" is a bridge. */
export function hook(runtime: string, networks = "bench", before: readonly string[] = []): Contender {
  const env = { OCINET_RUNTIME: runtime };
  const network = {
    ...{ cniVersion: "1.0.0", name: "bench", type: "bridge", bridge: "bench0" },
    ...{ isDefaultGateway: true, ipMasq: true, ipam: { type: "host-local", subnet } },
  };
  const state = (id: string, pid: number) => JSON.stringify({ ociVersion: "1.0.2", id, pid, bundle: "" });
  return {
    isInstalled: () => true,
    prepare: () => {
      Deno.mkdirSync("/run/net.d");
      Deno.writeTextFileSync("/run/net.d/bench.conf", JSON.stringify(network));
    },
    up: async (id, pid, port) => {
      const words = [`--net=${networks}`, `--publish=${port}:80`, "--net-dir=/run/net.d"];
      await run([...before, "dist/ocinet", "hook", "createRuntime", ...words], state(id, pid), env);
    },
    down: async (id) => void await run([...before, "dist/ocinet", "hook", "poststop"], state(id, 0), env),
  };
}

/** The same where an agent's processes wait for its calls. */
function withAgent(runtime: string, contender: Contender): Contender {
  return {
    ...contender,
    prepare: async () => {
      await contender.prepare?.();
      const agent = new Deno.Command("dist/ocinet", {
        ...{ args: ["agent"], env: { OCINET_RUNTIME: runtime } },
        ...{ stdin: "null", stdout: "null", stderr: "piped" },
      }).spawn();
      // It says a line once it serves.
      await agent.stderr.getReader().read();
    },
  };
}

function netavark(): Contender {
  const program = `${peers}/bin/netavark`;
  let next = 2;
  const addresses = new Map<string, string>();
  const config = (id: string, port: number) => {
    const address = addresses.get(id) ?? `10.77.${next >> 8}.${next++ & 255}`;
    addresses.set(id, address);
    const ports = [{ container_port: 80, host_ip: "", host_port: port, protocol: "tcp", range: 1 }];
    return JSON.stringify({
      ...{ container_id: id.padEnd(64, "0"), container_name: id, port_mappings: ports },
      networks: { bench: { interface_name: "eth0", static_ips: [address] } },
      network_info: {
        bench: {
          ...{ name: "bench", id: "b".repeat(64), driver: "bridge", network_interface: "bench0" },
          ...{
            subnets: [{ gateway: "10.77.0.1", subnet }],
            ipv6_enabled: false,
            internal: false,
            dns_enabled: false,
          },
          ipam_options: { driver: "host-local" },
        },
      },
    });
  };
  const act = (verb: string) => async (id: string, pid: number, port: number) => {
    Deno.writeTextFileSync("/run/netavark.json", config(id, port));
    const words = ["--config", "/run/netavark", "--file", "/run/netavark.json"];
    await run([program, ...words, verb, `/proc/${pid}/ns/net`]);
  };
  const prepare = () => Deno.mkdirSync("/run/netavark");
  return { isInstalled: () => exists(program), prepare, up: act("setup"), down: act("teardown") };
}

/** One process for the whole chain, in which ours run; it starts those that are found at `path`. */
function runtime(program: string, path = ""): Contender {
  const list = {
    ...{ cniVersion: "1.0.0", name: "bench" },
    plugins: [bridge(), { type: "portmap", capabilities: { portMappings: true } }, firewall(), tuning()],
  };
  const act = (verb: string) => async (id: string, pid: number, port: number) => {
    const words = ["--container-id", id, "--cache-dir", "/run/cache", "bench", `/proc/${pid}/ns/net`];
    await run(["dist/ocinet", "cni", verb, ...words], "", {
      OCINET_RUNTIME: program,
      ...{ NETCONFPATH: "/run/cni.d", CNI_PATH: path },
      CAP_ARGS: JSON.stringify({ portMappings: mappings(port) }),
    });
  };
  return {
    isInstalled: () => path === "" || list.plugins.every(({ type }) => exists(`${path}/${type}`)),
    prepare: () => {
      Deno.mkdirSync("/run/cni.d");
      Deno.writeTextFileSync("/run/cni.d/bench.conflist", JSON.stringify(list));
    },
    up: act("add"),
    down: act("del"),
  };
}

/** Called as a runtime calls them, by a driver that is running already: for them, no process of the runtime's counts. */
function referencePlugins(chain: readonly ((port: number) => Plugin)[]): Contender {
  const results = new Map<string, unknown>();
  const call = async (verb: string, id: string, pid: number, plugin: Plugin) => {
    const prevResult = results.get(id);
    const conf = { cniVersion: "1.0.0", name: "bench", ...plugin, ...(prevResult ? { prevResult } : {}) };
    const answer = await run([`${reference}/${plugin.type}`], JSON.stringify(conf), {
      ...{ CNI_COMMAND: verb, CNI_CONTAINERID: id, CNI_NETNS: `/proc/${pid}/ns/net` },
      ...{ CNI_IFNAME: "eth0", CNI_PATH: reference },
    });
    if (verb === "ADD") results.set(id, JSON.parse(answer));
  };
  return {
    isInstalled: () => chain.every((plugin) => exists(`${reference}/${plugin(0).type}`)),
    up: async (id, pid, port) => {
      for (const plugin of chain) await call("ADD", id, pid, plugin(port));
    },
    down: async (id, pid, port) => {
      for (const plugin of chain.toReversed()) await call("DEL", id, pid, plugin(port));
    },
  };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
