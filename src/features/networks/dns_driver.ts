import { addressOf } from "../../net/address.ts";
import { refusalIn } from "../../plan/hostfwd.ts";
import { guardResolver } from "../../plan/nft/endpoint.ts";
import { whyFailed, type World } from "../../plan/world.ts";
import { formatMember } from "../../wire/dns/member.ts";
import { messageOf } from "../../wire/cni/error.ts";
import type { NameDriver } from "./name_driver.ts";
import { resolverSocket, startResolver } from "./resolver_program.ts";

/** Names by a resolver on the host's address of the network: one process for all networks of a state directory. */
export const dnsDriver: NameDriver = {
  name: "dns",
  refusal: ({ plugins: [main] }) => {
    const isBridge = main?.type === "bridge";
    const isIsolated = Object.values(main?.["gatewayModes"] ?? {}).includes("isolated");
    if (isBridge && main["isGateway"] === true && !isIsolated) return undefined;
    const why = isBridge
      ? "its bridge has none, or of one family only"
      : `driver ${main?.type} gives the host none`;
    return `names=dns needs an address of the host's on the network, and ${why}; leave it out, for names in hosts files`;
  },
  fileText: formatMember,
  steps: (world, state, { listen }) => [
    ...listen.map((cidr) => guardResolver(addressOf(cidr))),
    startResolver(world, state),
  ],
  refresh: async (world, state, { network, members }) => {
    if (members.size === 0 && world.stat(resolverSocket(state)) === undefined) return;
    await serveNames(world, state, { network, isNeeded: members.size > 0 });
  },
};

/** What the resolver is asked to look at. */
interface Following {
  readonly network: string;
  /** The network has members: the resolver is started where it has ended. */
  readonly isNeeded: boolean;
  /** The id of the only container whose files may have changed. */
  readonly changed?: string | undefined;
}

/**
 * Has the resolver read a network's members.
 * @returns whether the network has names of hosts files as well, as when its option was edited under running containers
 * @throws Error when the resolver cannot serve the network
 */
export async function serveNames(
  world: World,
  state: string,
  following: Following,
): Promise<Pick<Answer, "hasOthers">> {
  const { problem, hasOthers } = await follow(world, state, following);
  if (problem === undefined) return { hasOthers };
  throw new Error(
    `Cannot serve names of network "${following.network}": ${problem}; ` +
      "see which program has the port (ss -lnp 'sport = 53'), or create the network without --opt names=dns",
  );
}

interface Answer {
  /** Why it does not serve the network. */
  readonly problem?: string | undefined;
  readonly hasOthers: boolean;
}

/** Has the resolver look at its networks; it is started where it has ended. */
async function follow(
  world: World,
  state: string,
  { network, isNeeded, changed }: Following,
): Promise<Answer> {
  const request = JSON.stringify({ execute: "follow", arguments: { network, changed } });
  const ask = async () => {
    const answer = await world.request(resolverSocket(state), request, { timeoutSeconds: 20 });
    return { problem: refusalIn(answer), hasOthers: answer.includes('"hasOthers"') };
  };
  const failed = (problem?: string) => ({ problem, hasOthers: false });
  try {
    return await ask();
  } catch (error) {
    if (!isNeeded) return failed();
    const output = await world.run(startResolver(world, state).run);
    if (output.code !== 0) return failed(whyFailed(output));
    return await ask().catch((again) => failed(`the resolver does not answer: ${messageOf(again ?? error)}`));
  }
}
