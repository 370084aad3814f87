import type { Result } from "../../wire/cni/result.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { ipv6Switch } from "../../plan/inside.ts";
import { setLink } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import type { Lookups } from "../plugin.ts";

/** The kernel makes this link with the namespace, so it is not ours to delete. */
export const keepsLink = true;

/** Reads nothing: the type has no options. */
export function parse(): unknown {
  return {};
}

/** Looks up whether the kernel has IPv6. */
export function lookups(): Lookups {
  return { sysctls: [ipv6Switch] };
}

/**
 * Sets the container's loopback link up, which gives it its addresses. The requested interface name is ignored. In a
 * chain, the previous result is passed on.
 */
export function link(_conf: unknown, at: Attachment, { sysctls }: HostState, before?: Result): Plan {
  const addresses = ["127.0.0.1/8", ...(sysctls.get(ipv6Switch) ? ["::1/128"] : [])];
  return {
    steps: [{ ...setLink("container", "lo", "up"), undo: "link set dev lo down" }],
    result: before ?? {
      interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: at.netns }],
      ips: addresses.map((address) => ({ address, interface: 0 })),
      routes: [],
      dns: {},
    },
  };
}

/** Not used: a loopback link gets no lease. */
export function address(_conf: unknown, _at: Attachment, _lease: unknown, made: Plan["result"]): Plan {
  return { steps: [], result: made };
}

/** Keeps only the link: the container may turn off IPv6 later. */
export function lasting(_conf: unknown, { interfaces, dns }: Result): Result {
  return { interfaces: interfaces.filter(({ name }) => name === "lo"), ips: [], routes: [], dns };
}

/** Checks that the link is up. */
export function checkDrift(
  _conf: unknown,
  _at: Attachment,
  _made: Result,
  seen: HostState,
): string | undefined {
  return seen.inside?.links.get("lo")?.up ? undefined : 'container interface "lo" is down';
}
