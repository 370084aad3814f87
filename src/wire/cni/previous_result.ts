import type { Ip, Result } from "./result.ts";
import { linkNameProblem } from "../../net/names.ts";

/** The addresses in a result that belong to the container's interface. Addresses without an interface count too. */
export function ownIps({ ips, interfaces }: Result, ifname: string): readonly Ip[] {
  return ips.filter(({ interface: index }) => {
    const link = index === undefined ? undefined : interfaces[index];
    return link === undefined || (link.name === ifname && link.sandbox !== undefined);
  });
}

/**
 * The names of a result's links on the host. The result may come from another program, so invalid names are left out.
 */
export function hostLinks({ interfaces }: Result): readonly string[] {
  return interfaces.filter(({ name, sandbox }) =>
    sandbox === undefined && linkNameProblem(name) === undefined
  )
    .map(({ name }) => name);
}

/** The name of the link by which bandwidth limits what a container sends, whichever program it is of. */
export const ifbPattern = /^bwp[0-9a-f]{12}$/;

/** Names of the host's links that lead to the container, without the ifb link of bandwidth. */
export function endLinks(made: Result): readonly string[] {
  return hostLinks(made).filter((name) => !ifbPattern.test(name));
}
