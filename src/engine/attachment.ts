import { parseArgs } from "../wire/cni/args.ts";
import type { Attachment } from "../plan/attachment.ts";
import type { Attached, Namespace } from "./record.ts";

/** The attachment for plugins, made from its record. */
export function attachmentOf(attached: Attached, containerId: string, container: Namespace): Attachment {
  const { network, ifname, digest, networkDigest, args } = attached;
  return {
    containerId,
    network: network.name,
    ifname,
    netns: container.netns,
    digest,
    networkDigest,
    args: parseArgs(args),
  };
}
