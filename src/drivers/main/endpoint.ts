import { addressOf } from "../../net/address.ts";
import { vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Endpoint } from "../../plan/nft.ts";
import { hostLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { Lookups } from "../plugin.ts";

/**
 * A container's interface as the host sees it; undefined where no link of the host's leads to it, as with macvlan.
 * @param reached the host's routes to the addresses of a result that is another program's (`endpointLookups`)
 */
export function endpointOf(
  at: Attachment,
  made: Result,
  reached?: HostState["reached"],
): Endpoint | undefined {
  const links = hostLinks(made);
  const link = isOurs(at, made) ? ownLink(at, links) : othersLink(at, made, reached);
  if (link === undefined) return undefined;
  // What goes with the container is its own link: beside a bridge, the port.
  const veth = links.find((name) => name !== link) ?? link;
  return { link, owner: `${at.containerId} ${isOurs(at, made) ? vethFrom(at.digest) : veth}` };
}

/** Routes to the container's addresses, where what was made is another program's, whose links may have any names. */
export function endpointLookups(at: Attachment, made: Result | undefined): Lookups {
  if (!made || isOurs(at, made)) return {};
  return { reached: ownIps(made, at.ifname).map(({ address }) => addressOf(address)) };
}

/** Whether a main type of ours made the container's link on the host. */
export function isOurs(at: Attachment, made: Result): boolean {
  return hostLinks(made).includes(vethFrom(at.digest));
}

/** Of a bridge's result the last link is the host's way in: the bridge, or its link in the VLAN. */
function ownLink(at: Attachment, links: readonly string[]): string {
  const veth = vethFrom(at.digest);
  return links.filter((name) => name !== veth).at(-1) ?? veth;
}

function othersLink(at: Attachment, made: Result, reached: HostState["reached"]): string | undefined {
  const routed = ownIps(made, at.ifname).map(({ address }) => reached?.get(addressOf(address)));
  const [first, ...links] = hostLinks(made);
  // Of a bridge with VLANs it is this link that the host routes through.
  return routed.find((link) => link !== undefined) ?? links.find((name) => name.startsWith(`${first}.`)) ??
    first;
}
