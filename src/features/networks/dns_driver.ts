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
    await serveNames(world, state, network, members.size > 0);
  },
};

/**
 * Has the resolver read a network's members.
 * @param isNeeded the network has members: the resolver is started where it has ended
 * @throws Error when the resolver cannot serve the network
 */
export async function serveNames(
  world: World,
  state: string,
  network: string,
  isNeeded: boolean,
): Promise<void> {
  const problem = await follow(world, state, network, isNeeded);
  if (problem === undefined) return;
  throw new Error(
    `Cannot serve names of network "${network}": ${problem}; ` +
      "see who has the port (ss -lnp 'sport = 53'), or create the network without --opt names=dns",
  );
}

/** Has the resolver look at its networks; it is started where it has ended. @returns why it does not serve the network */
async function follow(
  world: World,
  state: string,
  network: string,
  isNeeded: boolean,
): Promise<string | undefined> {
  const request = JSON.stringify({ execute: "follow", arguments: { network } });
  const ask = async () =>
    refusalIn(await world.request(resolverSocket(state), request, { timeoutSeconds: 20 }));
  try {
    return await ask();
  } catch (error) {
    if (!isNeeded) return undefined;
    const output = await world.run(startResolver(world, state).run);
    if (output.code !== 0) return whyFailed(output);
    return await ask().catch((again) => `the resolver does not answer: ${messageOf(again ?? error)}`);
  }
}
