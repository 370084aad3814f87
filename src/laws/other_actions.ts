/** The other things that the laws are tried on: ports of a container that runs, repair, and gc. */
import { expanded, parsePublish, showMapping } from "../net/port_mapping.ts";
import type { World } from "../plan/world.ts";
import type { Fake } from "../host/fake.ts";
import { namespaceOf } from "../host/fake/kernel.ts";
import { readContainer } from "../engine/record.ts";
import { detach } from "../features/container/detach.ts";
import { collectUnused } from "../features/container/unused.ts";
import { addPorts, removePorts } from "../features/container/live_ports.ts";
import { repair } from "../features/container/repair.ts";
import { parseForwarding } from "../features/rootless/forwarding.ts";
import { containers, gc, hostWith } from "./actions.ts";
import { type Action, refused, textOf } from "./faults.ts";
import { state } from "./machine.ts";

const ports = ["8080:80", "192.0.2.1:53:53/udp", "9000-9016:9000-9016/udp"].flatMap(parsePublish);
const part = ports.filter(({ hostPort }) => hostPort === 9001);
const forwarding = parseForwarding(new Map());

function publish(world: World): Promise<unknown> {
  return addPorts(world, state, "c1", ports, forwarding);
}

async function unpublish(world: World, asked = ports): Promise<void> {
  const there = new Set(expanded(readContainer(world, state, "c1")?.ports ?? []).map(showMapping));
  const own = asked.filter((port) => there.has(showMapping(port)));
  if (own.length > 0) await removePorts(world, state, "c1", own);
  // What a killed process had begun is undone before anything else.
  else await repair(world, state, "c1");
}

/** Another container, which wants the same ports. */
const next: Action["next"] = {
  add: (world) => containers.add(world, "portmap", "c2"),
  remove: (world) => containers.remove(world, "portmap", "c2"),
};

/** One that wants none. */
const bridged: Action["next"] = {
  add: (world) => containers.add(world, "bridge", "c2"),
  remove: (world) => containers.remove(world, "bridge", "c2"),
};

const portEndings: Action["endings"] = [
  { name: "taking them away", end: (world) => unpublish(world) },
  {
    name: "publishing again, and taking them away",
    end: async (world) => {
      await publish(world).catch((error) => {
        if (!refused.test(textOf(error)) && !/publishes it already/.test(textOf(error))) throw error;
      });
      await unpublish(world);
    },
  },
  {
    name: "repair, and taking them away",
    end: async (world) => void (await repair(world, state, "c1"), await unpublish(world)),
  },
];

/** Ports of a container that runs. */
export async function portActions(): Promise<readonly Action[]> {
  const made = await hostWith(containers, "portmap");
  await containers.add(made.world, "bridge", "c1");
  const before = made.copy();
  await publish(made.world);
  const common = { next, endings: portEndings, own: /\/containers\/c1\/|host: link veth/ };
  return [
    { ...common, name: "ports, add", before, act: publish },
    {
      ...common,
      ...{ name: "ports, remove", before: made.copy(), end: before, act: (world: World) => unpublish(world) },
      takesAway: true,
    },
    await partAction(made.copy(), common),
  ];
}

/** Of a range, one port is taken away. */
async function partAction(before: Fake, { own }: Pick<Action, "own">): Promise<Action> {
  const end = before.copy();
  const act = (world: World) => unpublish(world, part);
  await act(end.world);
  const endings = [{ name: "taking it away again", end: act }];
  return {
    ...{ name: "ports, remove one of a range", before, end, act, endings, takesAway: true, next: bridged },
    ...(own ? { own } : {}),
  };
}

/** Rules that have been flushed are put back. */
export async function repairActions(): Promise<readonly Action[]> {
  const made = await hostWith(containers, "portmap");
  await containers.add(made.world, "portmap", "c1");
  const [end, before] = [made.copy(), made.copy()];
  delete namespaceOf(before.kernel, before.kernel.own).tables["inet ocinet"];
  const repairAll = async (world: World) => {
    for (const id of ["c0", "c1"]) await repair(world, state, id);
  };
  return [{
    ...{ name: "repair", before, end, act: repairAll },
    endings: [{ name: "repairing again", end: repairAll }],
    next: bridged,
  }];
}

/** What ended containers left is taken away; and with the last, what they shared. */
export async function gcActions(): Promise<readonly Action[]> {
  const end = await hostWith(containers, "portmap");
  const made = end.copy();
  await containers.add(made.world, "portmap", "c1");
  made.removeNamespace("box");
  const ended = end.copy();
  ended.removeNamespace("box");
  const endings: Action["endings"] = [
    { name: "gc again", end: gc },
    { name: "down", end: (world) => containers.remove(world, "portmap", "c1") },
  ];
  return [
    { name: "gc", before: made.copy(), end: ended, act: gc, endings, next, takesAway: true },
    await sharedAction(),
  ];
}

async function sharedAction(): Promise<Action> {
  const end = await hostWith(containers, "bridge");
  await detach(end.world, state, "c0");
  const before = end.copy();
  await collect(end.world);
  return {
    unrecorded: true,
    ...{ name: "gc of what is shared", before, end: end.copy(), act: collect },
    endings: [{ name: "gc again", end: collect }],
    next: {
      add: (world) => containers.add(world, "bridge", "c2"),
      remove: async (world) => void (await containers.remove(world, "bridge", "c2"), await collect(world)),
    },
  };
}

async function collect(world: World): Promise<void> {
  await collectUnused(world, state, []);
}
