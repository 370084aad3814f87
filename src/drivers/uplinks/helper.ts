import { hasDns } from "../../wire/cni/result.ts";
import { coversPort, showRange } from "../../wire/helper/policy.ts";
import {
  helperDirectory,
  helperPolicy,
  type Offer,
  parseResult,
  writeRequest,
} from "../../wire/helper/wire.ts";
import { showMapping } from "../../net/port_mapping.ts";
import { send } from "../../plan/step.ts";
import { refuse } from "./refusals.ts";
import type { Host, Uplink } from "./uplink.ts";

/**
 * Root's service, which connects a veth. The container uses the kernel's network without a user-space network stack.
 */
export const helper = {
  name: "helper",
  provided: ({ service }) => service !== undefined,
  keys: ["network"],
  keepsClientAddress: true,
  problem: ({ service }, restricted) => {
    if (service === undefined) {
      return `it has no socket for you in ${helperDirectory}; root starts it with "ocinet helper", and names you in ` +
        helperPolicy;
    }
    const { socket, offer } = service;
    if (typeof offer === "string") {
      return `it does not answer on ${socket}: ${offer}; root starts it with "ocinet helper"`;
    }
    // A process with CAP_NET_ADMIN in the namespace could remove a rule there.
    if (restricted) return "default-restricted cannot be kept by it; use --uplink pasta or slirp4netns";
    if (offer.networks.some(({ free }) => free > 0)) return undefined;
    return `you have all the containers that ${helperPolicy} grants; end one, or have root grant more`;
  },
  losesNames: ({ names, resolvers }) => {
    const asks = resolvers !== undefined && (resolvers.families[4] || resolvers.families[6]);
    return asks && names?.nameservers === undefined
      ? "the host's name servers are on its own loopback, to which its containers have no way"
      : undefined;
  },
  refusal: (mapping, host) => {
    const ranges = offerOf(host)?.ports ?? [];
    if (coversPort(ranges, mapping)) return undefined;
    const granted = ranges.map(showRange).join(", ") || "none";
    return refuse(mapping, `${helperPolicy} does not grant the port (it grants: ${granted})`);
  },
  publish: ({ id, socket }, port) => {
    const ask = (verb: "publish" | "unpublish") => writeRequest({ do: verb, id, ports: [port] });
    return send(socket, `publish ${id} ${showMapping(port)}`, {
      run: ask("publish"),
      undo: ask("unpublish"),
    });
  },
  connect: ({ host, id, lasting, ifname, netns }, { network }, ports) => {
    const { socket } = host.service!;
    const where = network === undefined ? {} : { network };
    return {
      steps: [send(socket, `attach ${id}`, { undo: writeRequest({ do: "detach", id }) })],
      answer: { socket, request: writeRequest({ do: "attach", id, pid: lasting, ifname, ...where, ports }) },
      read: (answer) => {
        const result = parseResult(answer, netns);
        return hasDns(result.dns) ? result : { ...result, dns: host.names ?? {} };
      },
    };
  },
} satisfies Uplink;

function offerOf({ service }: Host): Offer | undefined {
  return typeof service?.offer === "string" ? undefined : service?.offer;
}
