/** What the laws are tried on: attaching and detaching, by each way in which that is done. */
import type { Command } from "../wire/cni/environment.ts";
import { type PluginConf } from "../wire/cni/network_list.ts";
import { emptyResult, type Result } from "../wire/cni/result.ts";
import type { World } from "../plan/world.ts";
import { parseWords } from "../wire/oci/options.ts";
import { containerOfPath } from "../engine/namespace.ts";
import { containerIds } from "../engine/record.ts";
import { add } from "../features/cni_plugin/add.ts";
import { type Context, contextOf } from "../features/cni_plugin/call.ts";
import { collectGarbage, del } from "../features/cni_plugin/del.ts";
import { collectRecords } from "../features/cni_plugin/gc.ts";
import { requestOf, type RuntimeCall } from "../features/cni_runtime/call.ts";
import { addNetwork, delNetwork, gcNetwork } from "../features/cni_runtime/runtime.ts";
import { attach } from "../features/container/attach.ts";
import { detach } from "../features/container/detach.ts";
import { collect } from "../features/container/gc.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { upOptions } from "../commands/up.ts";
import type { Fake } from "../host/fake.ts";
import { type Action, type Ending, refused, textOf } from "./faults.ts";
import { newHost, state } from "./machine.ts";
import { networkOf, portMappings } from "./networks.ts";

/** A way in which containers are put on a network and taken off it. */
interface Way {
  readonly name: string;
  add(world: World, type: string, id: string): Promise<unknown>;
  remove(world: World, type: string, id: string): Promise<unknown>;
}

/** The namespace of each container. */
const namespaces: Readonly<Record<string, string>> = { c1: "box", c0: "other", c2: "next" };

export function netnsOf(id: string): string {
  return `/run/netns/${namespaces[id]}`;
}

/** `ocinet up` and `down`. */
export const containers: Way = {
  name: "container",
  add: (world, type, id) =>
    attach(world, state, {
      ...{ id, container: containerOfPath(world, netnsOf(id)), replace: false },
      options: parseAttachOptions(parseWords(type === "portmap" ? publish(id) : [], upOptions)),
      networks: [{ list: networkOf(type, id), ifname: "eth0", args: "" }],
    }),
  remove: (world, _, id) => detach(world, state, id),
};

/** The container that was there first has ports of its own; the one that comes wants those of the one that failed. */
function publish(id: string): readonly string[] {
  return id === "c0" ? ["-p", "8081:80", "-p", "54:53/udp"] : ["-p", "8080:80", "-p", "192.0.2.1:53:53/udp"];
}

/** `ocinet cni add` and `del`. */
export const runtime: Way = {
  name: "runtime",
  add: (world, type, id) => addNetwork(world, state, callOf(type, id)),
  remove: async (world, type, id) => {
    await delNetwork(world, state, callOf(type, id));
    const valid = [{ containerID: "c0", ifname: "eth0" }];
    if (id === "c2") await gcNetwork(world, state, callOf(type, id), valid);
  },
};

function callOf(type: string, id: string): RuntimeCall {
  const list = networkOf(type, id);
  const mappings = id === "c0" ? [{ ...portMappings[0], hostPort: 8081 }] : portMappings;
  return {
    ...{
      list,
      config: JSON.stringify(list),
      containerId: id,
      ifname: "eth0",
      netns: netnsOf(id),
      args: "",
      path: [],
    },
    ...{
      capabilityArgs: type === "portmap" ? { portMappings: mappings } : {},
      cacheDirectory: "/var/lib/cni",
    },
  };
}

/** ADD and DEL of each plugin of the network, one after the other, as another runtime calls them. */
export const plugins: Way = {
  name: "plugins",
  add: (world, type, id) =>
    addPlugins(world, type, id).catch(async (error) => {
      // As runtimes do.
      await plugins.remove(world, type, id).catch(() => {});
      throw error;
    }),
  remove: async (world, type, id) => {
    for (const plugin of networkOf(type, id).plugins.toReversed()) {
      await del(await contextFor(world, { type, id, plugin, command: "DEL" }));
    }
    // What a process had begun that was killed is found by GC alone.
    if (id === "c2") await collectPlugins(world, type);
  },
};

async function addPlugins(world: World, type: string, id: string): Promise<Result> {
  let before: Result | undefined;
  for (const plugin of networkOf(type, id).plugins) {
    before = await add(await contextFor(world, { type, id, plugin, command: "ADD", before }));
  }
  return before ?? emptyResult;
}

async function collectPlugins(world: World, type: string): Promise<void> {
  for (const plugin of networkOf(type, "c0").plugins) {
    const valid = { ...plugin, "cni.dev/valid-attachments": [{ containerID: "c0", ifname: "eth0" }] };
    await collectGarbage(await contextFor(world, { type, id: "c0", plugin: valid, command: "GC" }));
  }
}

interface PluginCall {
  readonly type: string;
  readonly id: string;
  readonly plugin: PluginConf;
  readonly command: Command;
  readonly before?: Result | undefined;
}

async function contextFor(world: World, { type, id, plugin, command, before }: PluginCall): Promise<Context> {
  const call = callOf(type, id);
  const environment = { command, containerId: id, netns: call.netns, ifname: "eth0", args: "", path: [] };
  return await contextOf(world, state, {
    ...{ type: plugin.type, command, network: "blue", version: "1.1.0" },
    environment: { ...environment, netnsOverride: false },
    request: requestOf(call, plugin, before),
  });
}

/** All of them. */
export const ways: readonly Way[] = [containers, runtime, plugins];

/** The machine with another container on the network. */
export async function hostWith(way: Way, type: string): Promise<Fake> {
  const fake = newHost();
  Object.values(namespaces).forEach((name) => fake.addNamespace(name));
  // A device, or an address of the configuration, is one container's.
  await way.add(
    fake.world,
    ["host-device", "static", "macvlan with static", "loopback"].includes(type) ? "ptp" : type,
    "c0",
  );
  return fake.copy();
}

function endingsOf(way: Way, type: string): readonly Ending[] {
  const remove = (world: World) => way.remove(world, type, "c1");
  return [
    { name: "taking away", end: remove },
    {
      name: "adding again, and taking away",
      end: async (world) => {
        if (way !== containers) await remove(world);
        await way.add(world, type, "c1").catch((error) => {
          // It may have been added although no caller heard of it, or the other has its ports by now.
          if (!refused.test(textOf(error))) throw error;
        });
        await remove(world);
      },
    },
    {
      name: "the end of its namespace, and gc",
      namespaceGone: true,
      end: async (world, fake) => {
        fake.removeNamespace("box");
        await gc(world);
        // Only the runtime knows of what was not recorded.
        if (way !== containers) await remove(world);
      },
    },
  ];
}

export async function gc(world: World): Promise<void> {
  const found = [
    await collect(world, state, containerIds(world, state), "for links"),
    await collectRecords(world, state),
  ];
  const problems = found.flatMap(({ problems }) => problems);
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/** Adding a container, and taking it away. */
export async function actionsOf(way: Way, type: string): Promise<readonly Action[]> {
  const before = await hostWith(way, type);
  const there = before.copy();
  await way.add(there.world, type, "c1");
  const next: Action["next"] = {
    add: (world) => way.add(world, type, "c2"),
    remove: (world) => way.remove(world, type, "c2"),
  };
  const endings = endingsOf(way, type);
  // A device that is given to the container.
  const own = / eth9 /;
  return [
    {
      own,
      name: `${way.name} ${type}, add`,
      before,
      endings,
      next,
      act: (world) => way.add(world, type, "c1"),
    },
    {
      ...{
        own,
        name: `${way.name} ${type}, remove`,
        before: there.copy(),
        end: before,
        endings,
        next,
        takesAway: true,
      },
      act: (world) => way.remove(world, type, "c1"),
    },
  ];
}
