import { dryWorld } from "../host/dry.ts";
import type { World } from "../plan/world.ts";
import { cniByWords } from "./cni.ts";
import { hook } from "./hook.ts";
import { plugin } from "./plugin.ts";
import { runCommand } from "./program.ts";

/**
 * Has the usual calls go through once without any effect, before a process waits for a real one: a runtime compiles a
 * function when it is first called, which is most of the time that a call takes of ours. How they end is of no interest.
 */
export async function rehearse(world: World): Promise<void> {
  const netns = `/proc/${world.pid}/ns/net`;
  const stage = stageOf(world);
  const type = (...words: readonly string[]) => () => runCommand(stage, silent(words), "");
  const state = { ociVersion: "1.0.2", id: "rehearsal", pid: world.pid, bundle: "" };
  const network = { cniVersion: "1.0.0", name: "rehearsal", type: "bridge", isGateway: true, ipMasq: true };
  const ipam = { type: "host-local", subnet: "192.0.2.0/24" };
  const portMappings = [{ hostPort: 65000, containerPort: 80, protocol: "tcp" }];
  const list = { ...network, plugins: [{ ...network, ipam }, { type: "portmap" }, { type: "firewall" }] };
  const called = (command: string): World => ({
    ...stage,
    env: (name) =>
      ({ CNI_COMMAND: command, CNI_CONTAINERID: "rehearsal", CNI_NETNS: netns, CNI_IFNAME: "eth0" })[name],
  });
  const scenes: readonly (() => Promise<unknown>)[] = [
    type("ls"),
    type("up", "--publish=65000:80", netns),
    type("port", "add", "rehearsal", "65001:81"),
    type("down", "rehearsal"),
    () => hook(stage, ["createRuntime", "--net=default", "--publish=65000:80"], JSON.stringify(state)),
    () => hook(stage, ["poststop"], JSON.stringify({ ...state, pid: 0 })),
    ...["ADD", "DEL"].flatMap((command) => [
      () => plugin(called(command), "bridge", () => Promise.resolve(JSON.stringify({ ...network, ipam }))),
      () =>
        plugin(called(command), "portmap", () =>
          Promise.resolve(JSON.stringify({
            ...{ ...network, type: "portmap", runtimeConfig: { portMappings } },
            prevResult: { cniVersion: "1.0.0", interfaces: [], ips: [{ address: "192.0.2.2/24" }] },
          }))),
    ]),
    ...["add", "del"].map((verb) => () =>
      cniByWords(
        {
          ...stage,
          list: (path) => path === "/rehearsal" ? ["net.conflist"] : stage.list(path),
          read: (path) => path === "/rehearsal/net.conflist" ? JSON.stringify(list) : stage.read(path),
        },
        [verb, "--netconf-path=/rehearsal", "rehearsal", netns],
      )
    ),
  ];
  for (const scene of scenes) await scene().catch(() => {});
}

/** Programs do nothing and say nothing, and our own network namespace is another than it is. */
function stageOf(world: World): World {
  const unavailable = () => Promise.reject(new Error("this is a rehearsal"));
  const none = () => {
    throw new Error("this is a rehearsal");
  };
  return {
    ...dryWorld(world, () => {}),
    readLink: (path) => path === "/proc/self/ns/net" ? "net:[1]" : world.readLink(path),
    stat: (path, link) => {
      const stat = world.stat(path, link);
      return stat && path === "/proc/self/ns/net" ? { ...stat, identity: "0:1" } : stat;
    },
    warn: () => {},
    run: () => Promise.resolve({ code: 0, stdout: "[]", stderr: "" }),
    ask: () => "",
    ...{
      request: unavailable,
      http: unavailable,
      serveHttp: unavailable,
      listen: unavailable,
      hold: unavailable,
    },
    ...{ watch: none, start: none, onSignals: none },
  };
}

function silent(words: readonly string[]) {
  return { args: () => words, stdin: () => Promise.resolve(""), print: () => {} };
}
