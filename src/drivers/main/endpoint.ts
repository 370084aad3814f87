import { addressOf } from "../../net/address.ts";
import { vethFrom } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Endpoint } from "../../plan/nft/endpoint.ts";
import { endLinks, ownIps } from "../../wire/cni/previous_result.ts";
import type { Result } from "../../wire/cni/result.ts";
import type { Lookups } from "../plugin.ts";

/**
 * The host's link to a container's interface; undefined if there is none, as with macvlan.
 * @param reached the host's routes to the result's addresses, if another program made the result (`endpointLookups`)
 */
export function endpointOf(
  at: Attachment,
  made: Result,
  reached?: HostState["reached"],
): Endpoint | undefined {
  const links = endLinks(made);
  const link = isOurs(at, made) ? ownLink(at, links) : othersLink(at, made, reached);
  if (link === undefined) return undefined;
  // The link that is removed with the container is its own veth. With a bridge, that is the port.
  const veth = links.find((name) => name !== link) ?? link;
  return { link, owner: `${at.containerId} ${isOurs(at, made) ? vethFrom(at.digest) : veth}` };
}

/**
 * Look-ups of routes to the container's addresses, if another program made the result. Its links may have any names.
 */
export function endpointLookups(at: Attachment, made: Result | undefined): Lookups {
  if (!made || isOurs(at, made)) return {};
  return { reached: ownIps(made, at.ifname).map(({ address }) => addressOf(address)) };
}

/** Whether one of our main types made the container's link on the host. */
export function isOurs(at: Attachment, made: Result): boolean {
  return endLinks(made).includes(vethFrom(at.digest));
}

/**
 * The host's link to the container. In a bridge's result it is the last link: the bridge, or the host's link in the
 * VLAN.
 */
function ownLink(at: Attachment, links: readonly string[]): string {
  const veth = vethFrom(at.digest);
  return links.filter((name) => name !== veth).at(-1) ?? veth;
}

function othersLink(at: Attachment, made: Result, reached: HostState["reached"]): string | undefined {
  const routed = ownIps(made, at.ifname).map(({ address }) => reached?.get(addressOf(address)));
  const [first, ...links] = endLinks(made);
  // On a bridge with VLANs, the host routes through this link.
  return routed.find((link) => link !== undefined) ?? links.find((name) => name.startsWith(`${first}.`)) ??
    first;
}
