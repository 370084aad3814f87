import type { Listening, Served } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import {
  type AgentRequest,
  agentSocket,
  longestRequest,
  parseRequest,
  writeAnswer,
} from "../../wire/overlay/requests.ts";
import { addressOf } from "../../net/address.ts";
import { explain } from "../../engine/step_error.ts";
import type { InTurn } from "../../engine/turns.ts";
import { type Agent, type Joined, knownNetwork, updateNetwork } from "./agent_state.ts";
import { claimAddresses } from "./claims.ts";
import { join, leaveUnused, noteClaims } from "./local_networks.ts";
import { leaveCluster } from "./leave_cluster.ts";
import { rotateKey } from "./tunnel.ts";
import { giveBack } from "./sweep.ts";

/** Milliseconds after a claim at which names are looked for; later ones are found by the usual look. */
const namesExpected = [200, 600, 1500];
/** Milliseconds that the answer to the last request has. */
const endAfter = 200;

/** Serves those who attach containers on this host, until it is closed. @param inTurn does one thing after the other */
export function serve(
  agent: Agent,
  inTurn: InTurn,
): Promise<Listening> {
  const { world, state } = agent;
  const path = agentSocket(state);
  world.remove(path);
  return world.listen(
    { path },
    { longest: longestRequest, timeoutMs: 10_000, most: 256 },
    async (heard): Promise<Served> => {
      if ("unheard" in heard) {
        return {
          answer: writeAnswer({ error: `Cannot serve the request: ${heard.unheard}` }),
        };
      }
      try {
        const request = parseRequest(heard.line);
        const value = request.do === "status" ? statusOf(agent) : await inTurn(() => answer(agent, request));
        return { answer: writeAnswer({ value }) };
      } catch (error) {
        return { answer: writeAnswer({ error: messageOf(explain(error)) }) };
      }
    },
  );
}

async function answer(agent: Agent, request: Exclude<AgentRequest, { do: "status" }>): Promise<unknown> {
  switch (request.do) {
    case "rotate":
      return { key: await rotateKey(agent) };
    case "leave":
      await leaveCluster(agent, request.force);
      // Once this is answered.
      setTimeout(() => agent.end(), endAfter);
      return {};
    case "join":
      return await join(agent, request.network);
    case "claim":
      return await claim(agent, request);
    case "release": {
      const joined = agent.joined.get(request.network);
      if (joined) await release(agent, joined, request);
      return {};
    }
  }
}

async function claim(agent: Agent, request: AgentRequest & { readonly do: "claim" }): Promise<unknown> {
  if (!agent.joined.has(request.network)) await join(agent, request.network);
  const joined = updateNetwork(agent.joined.get(request.network)!, knownNetwork(agent, request.network));
  const who = { host: agent.config.name, id: request.id, ifname: request.ifname };
  const known = { ...joined, claims: joined.claims.entries, held: joined.claims.held };
  const claimed = await claimAddresses(agent.store, known, who, request.wanted);
  noteClaims(agent, joined, who, claimed.ips.map(({ address }) => addressOf(address)));
  joined.keptUntil = 0;
  // The container's names are written down after its address, and told as soon as they are.
  for (const milliseconds of namesExpected) setTimeout(agent.wake, milliseconds);
  return claimed;
}

/** What cannot be given back now is swept later: its record is gone by then. */
async function release(
  agent: Agent,
  joined: Joined,
  request: AgentRequest & { readonly do: "release" },
): Promise<void> {
  try {
    await giveBack(agent, joined, request);
    await leaveUnused(agent, joined);
  } catch (error) {
    agent.tell(
      `Cannot give back the address of container "${request.id}" now: ${messageOf(error)}; it is tried again`,
    );
  }
}

/** What the agent knows of itself. */
export interface AgentStatus {
  readonly host: string;
  readonly inCluster: boolean;
  /** The public key of its WireGuard. */
  readonly key?: string;
  readonly networks: readonly { readonly name: string; readonly peers: number; readonly entries: number }[];
  readonly problems: readonly string[];
}

function statusOf(agent: Agent): AgentStatus {
  return {
    host: agent.config.name,
    inCluster: agent.lease !== undefined && !agent.problems.has("cluster"),
    ...(agent.tunnel === undefined ? {} : { key: agent.tunnel.key }),
    networks: [...agent.joined.values()].map(({ network, applied }) => ({
      name: network.name,
      peers: applied?.hosts.size ?? 0,
      entries: applied?.index.entries.neighbours.size ?? 0,
    })),
    problems: [...agent.problems.values()],
  };
}
