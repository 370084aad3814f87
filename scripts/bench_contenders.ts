/** Who is compared: each attaches a container of the same shape in its own way. */
export interface Contender {
  isInstalled(): boolean;
  prepare?(): Promise<void> | void;
  up(id: string, pid: number, port: number): Promise<void>;
  down(id: string, pid: number, port: number): Promise<void>;
}

const subnet = "10.77.0.0/16";

/** Every contender by name. */
export const contenders: Readonly<Record<string, Contender>> = {
  "ocinet hook on Deno": ocinet([
    "node_modules/.bin/deno",
    "run",
    "-A",
    "--no-config",
    "--no-lock",
    "--no-code-cache",
    "--ext=js",
  ]),
  "ocinet hook on Node": ocinet(["node"]),
  "netavark": netavark(),
  "CNI bridge+portmap (Go)": referencePlugins(),
};

async function run(argv: readonly string[], input = "", env: Record<string, string> = {}): Promise<string> {
  const child = new Deno.Command(argv[0]!, {
    args: argv.slice(1),
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

function ocinet(runtime: readonly string[]): Contender {
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
      const words = ["--net=bench", `--publish=${port}:80`, "--net-dir=/run/net.d"];
      await run([...runtime, "dist/ocinet", "hook", "createRuntime", ...words], state(id, pid));
    },
    down: async (id) => void await run([...runtime, "dist/ocinet", "hook", "poststop"], state(id, 0)),
  };
}

function netavark(): Contender {
  const program = "/usr/lib/podman/netavark";
  let next = 1;
  const addresses = new Map<string, string>();
  const config = (id: string, port: number) => {
    const address = addresses.get(id) ?? `10.77.${next >> 8}.${(next++ & 255) + 2}`;
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
    await run([program, "--file", "/run/netavark.json", verb, `/proc/${pid}/ns/net`]);
  };
  return { isInstalled: () => exists(program), up: act("setup"), down: act("teardown") };
}

function referencePlugins(): Contender {
  const directory = "/usr/lib/cni";
  const common = { cniVersion: "1.0.0", name: "bench" };
  const bridge = {
    ...{ ...common, type: "bridge", bridge: "bench0", isDefaultGateway: true, ipMasq: true },
    ipam: { type: "host-local", subnet, dataDir: "/run/leases" },
  };
  const portmap = (port: number) => ({
    ...{ ...common, type: "portmap" },
    runtimeConfig: { portMappings: [{ hostPort: port, containerPort: 80, protocol: "tcp" }] },
  });
  const call = (verb: string, id: string, pid: number, conf: { type: string }) =>
    run([`${directory}/${conf.type}`], JSON.stringify(conf), {
      ...{ CNI_COMMAND: verb, CNI_CONTAINERID: id, CNI_NETNS: `/proc/${pid}/ns/net` },
      ...{ CNI_IFNAME: "eth0", CNI_PATH: directory },
    });
  const results = new Map<string, unknown>();
  return {
    isInstalled: () => exists(`${directory}/bridge`) && exists(`${directory}/portmap`),
    up: async (id, pid, port) => {
      const prevResult = JSON.parse(await call("ADD", id, pid, bridge));
      results.set(
        id,
        JSON.parse(await call("ADD", id, pid, { ...portmap(port), prevResult } as { type: string })),
      );
    },
    down: async (id, pid, port) => {
      const prevResult = results.get(id);
      await call("DEL", id, pid, { ...portmap(port), prevResult } as { type: string });
      await call("DEL", id, pid, { ...bridge, prevResult } as { type: string });
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
