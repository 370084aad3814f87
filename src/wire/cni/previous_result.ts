import type { Ip, Result } from "./result.ts";
import { linkNameProblem } from "../../net/names.ts";

/** The addresses of a result that are the container's interface's; an address of no interface is, too. */
export function ownIps({ ips, interfaces }: Result, ifname: string): readonly Ip[] {
  return ips.filter(({ interface: index }) => {
    const link = index === undefined ? undefined : interfaces[index];
    return link === undefined || (link.name === ifname && link.sandbox !== undefined);
  });
}

/** The names of a result's links on the host. It may be another program's, so what could be no name is left out. */
export function hostLinks({ interfaces }: Result): readonly string[] {
  return interfaces.filter(({ name, sandbox }) =>
    sandbox === undefined && linkNameProblem(name) === undefined
  )
    .map(({ name }) => name);
}
