/** Ways from an ordinary user's namespace to the world and back, on the host that scripts/bench_host makes. */

/** A port of the host's, and where it leads in the container. */
export interface Port {
  readonly host: number;
  readonly container: number;
}

/** One way; it goes on until the host ends. */
export interface Way {
  isInstalled(): boolean;
  /** Starts a process with a network. @param id a name of its own @returns its pid */
  start(id: string, ports: readonly Port[]): Promise<number>;
}

/** The host that the containers are on, and its peer, in which the other half of the traffic is. */
export const hostAddress = "192.0.2.1";
export const peerAddress = "192.0.2.2";
export const inPeer = ["ip", "netns", "exec", "peer"];

/** What the others are compared to. */
export const yardstick = "root's veth";

/** Who has the containers. */
const [user, uid] = ["bench", 60606];
const userDirectory = `/run/user/${uid}`;

/** Where slirp4netns and pasta can be told; ours is that by itself. */
const mtu = 65520;

/** The ways by name; those that are to be compared follow each other, for a machine's other work changes with time. */
export const ways: Readonly<Record<string, Way>> = {
  [yardstick]: { isInstalled: () => true, start: startAsRoot },
  "helper": ours("helper"),
  "pasta": ours("pasta"),
  "rootlesskit pasta": rootlesskit("pasta", "implicit"),
  "slirp4netns": ours("slirp4netns"),
  "rootlesskit slirp4netns": rootlesskit("slirp4netns", "slirp4netns"),
  "podman slirp4netns": podman("slirp4netns"),
  "pasta, relay": ours("pasta", "--port-driver=relay"),
  "slirp4netns, relay": ours("slirp4netns", "--port-driver=relay"),
  "slirp4netns, relay on Node": oursOn("node", "slirp4netns", "--port-driver=relay"),
  "rootlesskit slirp4netns, builtin": rootlesskit("slirp4netns", "builtin"),
  "podman slirp4netns, rootlesskit": podman("rootlesskit"),
};

/** A way and another tool's by the same programs, which it is to equal, or to come this near to. */
export interface Aim {
  readonly way: string;
  readonly other: string;
  readonly least: number;
}

/** What is to be true of the ways; two measurements of one thing may differ by a tenth. */
export const aims: readonly Aim[] = [
  { way: "helper", other: yardstick, least: 0.9 },
  { way: "pasta", other: "rootlesskit pasta", least: 0.9 },
  { way: "slirp4netns", other: "rootlesskit slirp4netns", least: 0.9 },
  { way: "slirp4netns", other: "podman slirp4netns", least: 0.9 },
];

/** To which the others are compared that take only a moment. */
export const setupBase = "rootlesskit slirp4netns";

/** Whole commands of the ordinary user's that only get a network and end. */
export const setups: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ["helper", "pasta", "slirp4netns"].flatMap((uplink) =>
      ["deno", "node"].map((runtime) => [
        `${uplink} on ${runtime === "deno" ? "Deno" : "Node"}`,
        asUser(...run(runtime, uplink), "--", "true"),
      ])
    ),
  ),
  [setupBase]: asUser(
    ...["rootlesskit", "--net=slirp4netns", `--mtu=${mtu}`, "--disable-host-loopback", "true"],
  ),
};

/** Starts root's service for the user. */
export async function startHelper(): Promise<void> {
  Deno.writeTextFileSync("/run/helper.conf", `${user} veth ocinet0 9\n${user} port 8000-9999\n`);
  background("dist/ocinet", "helper", "--policy", "/run/helper.conf");
  await until(() => exists(`/run/ocinet-helper/${uid}`));
}

/** What programs that go on have complained of. */
const log = "/run/bench.log";

/**
 * Starts a program that goes on, in a session of its own, as those are that ocinet starts: where the kernel shares the
 * processors out by session (sched_autogroup_enabled), who is in one with others has less.
 */
export function background(...argv: readonly string[]): void {
  const args = ["sh", "-c", 'exec "$@" >/dev/null 2>>"$0"', log, ...argv];
  new Deno.Command("setsid", { args, stdin: "null" }).spawn();
}

/** Waits for it to be true. @throws Error when it is not within ten seconds */
export async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!await done()) {
    if (performance.now() > deadline) {
      throw new Error(`Waited in vain for ${done}\n${Deno.readTextFileSync(log)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Runs a program to its end. @returns what it printed @throws Error when it fails */
export async function output(...argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0]!, { args: argv.slice(1) }).output();
  const [out, problem] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${problem} ${out}`);
  return out!;
}

/** A command of the ordinary user. */
export function asUser(...argv: readonly string[]): readonly string[] {
  return [
    ...["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "--", "env", "-i"],
    ...[`PATH=${Deno.env.get("PATH")}`, `HOME=/mnt/host/user/home`, `XDG_RUNTIME_DIR=${userDirectory}`],
    ...argv,
  ];
}

async function startAsRoot(id: string, ports: readonly Port[]): Promise<number> {
  await output("ip", "netns", "add", id);
  await output("dist/ocinet", "up", "--net=default", ...ports.map(publish), `/run/netns/${id}`);
  return await started(id, ["ip", "netns", "exec", id], "/run");
}

function run(runtime: string, uplink: string): readonly string[] {
  return [`OCINET_RUNTIME=${runtime}`, "dist/ocinet", "run", `--uplink=${uplink}`];
}

function ours(uplink: string, ...options: readonly string[]): Way {
  return oursOn("deno", uplink, ...options);
}

function oursOn(runtime: string, uplink: string, ...options: readonly string[]): Way {
  return {
    isInstalled: () => true,
    start: (id, ports) =>
      started(id, asUser(...run(runtime, uplink), ...options, ...ports.map(publish), "--")),
  };
}

function publish({ host, container }: Port): string {
  return `--publish=${host}:${container}`;
}

function rootlesskit(net: string, driver: string): Way {
  return {
    isInstalled: () => has("rootlesskit", net) && has(net),
    start: (id, ports) =>
      started(
        id,
        asUser(
          ...["rootlesskit", `--net=${net}`, `--mtu=${mtu}`, "--disable-host-loopback"],
          ...[
            `--port-driver=${driver}`,
            ...ports.map(({ host, container }) => `-p=0.0.0.0:${host}:${container}/tcp`),
          ],
        ),
      ),
  };
}

function podman(handler: string): Way {
  return {
    isInstalled: () => has("podman"),
    start: async (id, ports) => {
      const root = `${userDirectory}/${id}.root`;
      await output(...asUser("mkdir", "-p", `${root}/bin`, `${root}/dev`, `${root}/proc`, `${root}/sys`));
      await output(...asUser("cp", (await output("which", "busybox")).trim(), `${root}/bin/busybox`));
      await output(...asUser(
        ...[
          "podman",
          "--storage-driver=vfs",
          "--cgroup-manager=cgroupfs",
          "--events-backend=file",
          "--runtime=crun",
        ],
        ...["run", "--detach", "--cgroups=disabled", "--security-opt=seccomp=unconfined"],
        ...[`--network=slirp4netns:mtu=${mtu},port_handler=${handler}`, `--pidfile=${userDirectory}/${id}`],
        ...[...ports.map(publish), "--rootfs", root, "/bin/busybox", "sleep", "1000"],
      ));
      return Number(Deno.readTextFileSync(`${userDirectory}/${id}`));
    },
  };
}

/** Has a command run one that notes its pid and stays. @returns the pid */
async function started(id: string, through: readonly string[], directory = userDirectory): Promise<number> {
  const file = `${directory}/${id}`;
  background(...through, "sh", "-c", 'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep infinity', file);
  await until(() => exists(file));
  return Number(Deno.readTextFileSync(file));
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
}

/** Whether there is such a program, whose help has a word in it. */
function has(program: string, word = ""): boolean {
  try {
    const { stdout, stderr } = new Deno.Command(program, { args: ["--help"] }).outputSync();
    return [stdout, stderr].some((bytes) => new TextDecoder().decode(bytes).includes(word));
  } catch {
    return false;
  }
}
