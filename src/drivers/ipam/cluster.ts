import type { Fields } from "../../wire/cni/fields.ts";
import { parseRoute, type Route } from "../../wire/cni/result.ts";
import { agentSocket, parseAnswer, parseClaimed, writeRequest } from "../../wire/overlay/requests.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { askAgent } from "../../plan/ask_agent.ts";
import { send } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import type { Lease } from "../plugin.ts";
import { wantedAddress, wantedAddresses } from "./wanted.ts";

/** The addresses are known before the link exists. */
export const kind = "local";

interface Conf {
  readonly routes: readonly Route[];
  /** The addresses that the runtime requests. */
  readonly wanted: readonly string[];
}

/** It reads `IP`. */
export const readsArgs = true;

/** Reads the `ipam` object. Only routes come from it; everything else is in the cluster. */
export function parse(conf: Fields): Conf {
  return {
    routes: conf.object("ipam")?.objects("routes")?.map(parseRoute) ?? [],
    wanted: wantedAddresses(conf),
  };
}

/** Asks the host's agent to claim addresses in the cluster. Undoing the attachment releases them. */
export async function lease(conf: Conf, at: Attachment, world: World): Promise<Lease> {
  const socket = agentSocket(world.env("OCINET_STATE_DIR"));
  const owner = { network: at.network, id: at.containerId, ifname: at.ifname };
  const own = at.args.get("IP");
  const wanted = own ? own.split(",").map(wantedAddress) : conf.wanted;
  const release = writeRequest({ do: "release", ...owner });
  const answer = await askAgent(world, socket, writeRequest({ do: "claim", ...owner, wanted }));
  const claimed = parseClaimed(parseAnswer(answer));
  return {
    ...{ ips: claimed.ips, routes: conf.routes, dns: {}, claims: [] },
    steps: [send(socket, `address ${at.network} ${at.containerId} ${at.ifname}`, { undo: release })],
    // If this fails, the agent releases addresses for which no record exists.
    giveUp: () => void world.request(socket, release).catch(() => {}),
  };
}
