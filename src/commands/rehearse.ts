import { dryWorld } from "../host/dry.ts";
import type { World } from "../plan/world.ts";
import { messageOf } from "../wire/cni/error.ts";
import { cniByWords } from "./cni.ts";
import { hook } from "./hook.ts";
import { plugin } from "./plugin.ts";
import { type Console, runCommand } from "./program.ts";

/**
 * Has the usual calls go through once without any effect, before a process waits for a real one: a runtime compiles a
 * function when it is first called, which is most of the time that a call takes of ours.
 * @returns what they complained of
 */
export async function rehearse(world: World): Promise<readonly string[]> {
  const complaints: string[] = [];
  const stage: Stage = {
    world: stageOf(world),
    netns: `/proc/${world.pid}/ns/net`,
    complain: (text) => complaints.push(text),
  };
  for (const scene of [...typed(stage), ...hooks(stage), ...plugins(stage), ...runtime(stage)]) {
    await scene().catch((error) => stage.complain(messageOf(error)));
  }
  return complaints;
}

/** Where calls go through without any effect. */
interface Stage {
  readonly world: World;
  /** The network namespace of the container that is connected. */
  readonly netns: string;
  complain(text: string): void;
}

type Scenes = readonly (() => Promise<unknown>)[];

const network = { cniVersion: "1.0.0", name: "rehearsal", type: "bridge", isGateway: true, ipMasq: true };
const ipam = { type: "host-local", subnet: "192.0.2.0/24" };

function typed({ world, netns, complain }: Stage): Scenes {
  const console = (words: readonly string[]): Console => ({
    args: () => words,
    stdin: () => Promise.resolve(""),
    print: (to, text) => to === "stderr" && complain(`${words.join(" ")}: ${text}`),
  });
  const type = (...words: readonly string[]) => () => runCommand(world, console(words), "");
  return [
    type("ls"),
    type("up", "--id=rehearsal", "--publish=65000:80", netns),
    type("port", "add", "rehearsal", "65001:81"),
    ...["names=hosts", "names=dns"].flatMap((names) => [
      type("network", "create", `--opt=${names}`, "rehearsal"),
      type("network", "connect", "rehearsal", "rehearsal"),
      type("network", "inspect", "rehearsal"),
      type("network", "disconnect", "rehearsal", "rehearsal"),
      type("network", "rm", "rehearsal"),
    ]),
    type("down", "rehearsal"),
  ];
}

function hooks({ world }: Stage): Scenes {
  const state = (pid: number) => JSON.stringify({ ociVersion: "1.0.2", id: "rehearsal", pid, bundle: "" });
  return [
    () => hook(world, ["createRuntime", "--net=default", "--publish=65000:80"], state(world.pid)),
    () => hook(world, ["poststop"], state(0)),
  ];
}

function plugins({ world, netns, complain }: Stage): Scenes {
  const call = (command: string, type: string, conf: object) => async () => {
    const own: Readonly<Record<string, string>> = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "rehearsal",
      CNI_NETNS: netns,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
    };
    const told = { ...world, env: (name: string) => own[name] };
    const { code, stdout } = await plugin(told, type, () => Promise.resolve(JSON.stringify(conf)));
    if (code !== 0) complain(`${command} of ${type}: ${stdout}`);
  };
  const portMappings = [{ hostPort: 65000, containerPort: 80, protocol: "tcp" }];
  const prevResult = { cniVersion: "1.0.0", interfaces: [], ips: [{ address: "192.0.2.2/24" }] };
  return ["ADD", "DEL"].flatMap((command) => [
    call(command, "bridge", { ...network, ipam }),
    call(command, "portmap", { ...network, type: "portmap", runtimeConfig: { portMappings }, prevResult }),
  ]);
}

function runtime({ world, netns }: Stage): Scenes {
  const list = { ...network, plugins: [{ ...network, ipam }, { type: "portmap" }, { type: "firewall" }] };
  world.write("/stage/net.conflist", JSON.stringify(list));
  return ["add", "del"].map((verb) => () =>
    cniByWords(world, [verb, "--netconf-path=/stage", "rehearsal", netns])
  );
}

/** Programs do nothing and say nothing, and our own network namespace is another than it is. */
function stageOf(world: World): World {
  const unavailable = () => Promise.reject(new Error("this is a rehearsal"));
  const none = () => {
    throw new Error("this is a rehearsal");
  };
  const files = remembered(world);
  return {
    ...dryWorld(world, () => {}),
    ...files,
    readLink: (path) => path === "/proc/self/ns/net" ? "net:[1]" : world.readLink(path),
    stat: (path, link) => {
      const stat = files.stat(path, link);
      return stat && path === "/proc/self/ns/net" ? { ...stat, identity: `${stat.identity}0` } : stat;
    },
    warn: () => {},
    run: () => Promise.resolve({ code: 0, stdout: "[]", stderr: "" }),
    ask: () => "",
    ...{
      request: () => Promise.resolve('{"return":{}}'),
      http: unavailable,
      serveHttp: unavailable,
      listen: unavailable,
      hold: unavailable,
    },
    ...{ watch: none, start: none, onSignals: none },
  };
}

/** Files that are kept in memory alone, so that each scene finds what the one before would have written. */
function remembered(
  world: World,
): Pick<World, "read" | "readStart" | "list" | "stat" | "write" | "create" | "put" | "remove"> {
  const files = new Map<string, string>();
  const within = (path: string) => [...files.keys()].filter((one) => one.startsWith(`${path}/`));
  const write = (path: string, text: string) => void files.set(path, text);
  return {
    read: (path) => files.get(path) ?? world.read(path),
    readStart: (path, bytes) => files.get(path)?.slice(0, bytes) ?? world.readStart(path, bytes),
    list: (path) => [
      ...new Set([
        ...world.list(path),
        ...within(path).map((one) => one.slice(path.length + 1).split("/")[0]!),
      ]),
    ],
    stat: (path, link) =>
      world.stat(files.has(path) ? "/proc/self/status" : within(path).length > 0 ? "/" : path, link),
    write,
    create: (path, text) => {
      if (files.has(path)) return false;
      write(path, text);
      return true;
    },
    put: write,
    remove: (path) => [path, ...within(path)].forEach((one) => files.delete(one)),
  };
}
