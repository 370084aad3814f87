/** The laws on networks of a container that runs: it is connected to one more, and taken off it. */
import { parseNetworkList } from "../wire/cni/network_list.ts";
import type { World } from "../plan/world.ts";
import { readContainer } from "../engine/record.ts";
import type { Network } from "../features/networks/catalog.ts";
import {
  connectNetwork,
  disconnectNetwork,
  type EndpointOptions,
} from "../features/container/live_networks.ts";
import { takeOffAbandoned } from "../features/container/network_change.ts";
import { repair } from "../features/container/repair.ts";
import { containers, hostWith } from "./actions.ts";
import { type Action, refused, textOf } from "./faults.ts";
import { state } from "./machine.ts";

const path = "/etc/ocinet/net.d/red.conflist";
const ranges = [[{ subnet: "10.2.2.0/24" }], [{ subnet: "fd00:2::/64" }]];
const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
const main = { type: "bridge", bridge: "br2", isGateway: true, ipMasq: true };

/** A network beside that of `networkOf`. */
const redBy = (names: "hosts" | "dns", isRouted = false): Network => ({
  ...{
    name: "red",
    id: "0".repeat(64),
    driver: "bridge",
    created: "",
    ipv4: true,
    ipv6: true,
    internal: false,
  },
  ...{ attachable: false, labels: {}, options: {}, ipam: [], predefined: false, path },
  list: parseNetworkList(
    JSON.stringify({
      ...{ cniVersion: "1.0.0", name: "red", ocinet: { options: { names } } },
      plugins: [
        { ...main, ipMasq: !isRouted, ipam: { type: "host-local", ranges, routes } },
        ...isRouted ? [{ type: "portmap", gatewayModes: { 4: "routed", 6: "routed" } }] : [],
      ],
    }),
    path,
  ),
});

const options: EndpointOptions = { aliases: ["api"], gwPriority: 0, ip: "10.2.2.7" };

/** Connects the container to the network. */
type Connect = (world: World, more?: Partial<EndpointOptions>) => Promise<unknown>;

const disconnect = (world: World) => leave(world, "red");

async function leave(world: World, network: string): Promise<void> {
  await takeOffAbandoned(world, state, ["c1"]);
  if (!readContainer(world, state, "c1")?.attachments.some((one) => one.network.name === network)) return;
  await disconnectNetwork(world, state, { id: "c1", network, isForced: false });
}

/** The network that ports lead by is taken off a container that is on another; there they are led, or opened, then. */
export async function movedPortActions(): Promise<readonly Action[]> {
  const actions = [false, true].map(async (isRouted): Promise<Action> => {
    const before = await hostWith(containers, "portmap");
    await containers.add(before.world, "portmap", "c1");
    const red = redBy("hosts", isRouted);
    await connectNetwork(before.world, state, "c1", red, options);
    // With the neighbour's port there comes a route for ::1, which the kernel may refuse.
    await connectNetwork(before.world, state, "c0", red, { ...options, ip: "10.2.2.8" });
    await disconnectNetwork(before.world, state, { id: "c0", network: "blue", isForced: false });
    const act = (world: World) => leave(world, "blue");
    const end = before.copy();
    await act(end.world);
    return {
      ...{
        name: `network, disconnect with ports, ${isRouted ? "routed" : "masqueraded"}`,
        before,
        end,
        next,
        act,
      },
      endings: [{ name: "disconnecting", end: act }],
      own: /\/containers\/c1\/|host: link veth|box: |c1 veth|\/ports\//,
      takesAway: true,
    };
  });
  return await Promise.all(actions);
}

const endingsWith = (connect: Connect): Action["endings"] => [
  { name: "disconnecting", end: disconnect },
  {
    name: "connecting again, and disconnecting",
    end: async (world) => {
      await connect(world).catch((error) => {
        if (!refused.test(textOf(error)) && !/already exists in network/.test(textOf(error))) throw error;
      });
      await disconnect(world);
    },
  },
  {
    name: "repair, and disconnecting",
    end: async (world) => void (await repair(world, state, "c1"), await disconnect(world)),
  },
];

const next: Action["next"] = {
  add: (world) => containers.add(world, "bridge", "c2"),
  remove: (world) => containers.remove(world, "bridge", "c2"),
};

/** One more network of a container that runs, with names in hosts files or by the resolver. */
export async function networkActions(names: "hosts" | "dns"): Promise<readonly Action[]> {
  const red = redBy(names);
  const connect: Connect = (world, more = {}) =>
    connectNetwork(world, state, "c1", red, { ...options, ...more });
  const made = await hostWith(containers, "portmap");
  await containers.add(made.world, "portmap", "c1");
  // The bridge stays, as every bridge does until gc.
  await connect(made.world);
  await disconnect(made.world);
  const before = made.copy();
  // Once the default route has moved, the container's own record tells of it.
  const moved = made.copy();
  await connect(moved.world, { gwPriority: 1 });
  await disconnect(moved.world);
  await connect(made.world);
  const common = {
    next,
    endings: endingsWith(connect),
    own: /\/containers\/c1\/|host: link veth|box: route unicast (0.0.0.0|::)\/0 /,
  };
  return [
    { ...common, name: "network, connect", before, act: (world) => connect(world) },
    {
      ...common,
      name: "network, connect with the default route",
      before: moved.copy(),
      act: (world) => connect(world, { gwPriority: 1 }),
    },
    {
      ...common,
      name: "network, disconnect",
      before: made.copy(),
      end: before,
      act: disconnect,
      takesAway: true,
    },
  ];
}
