import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import { parseAnswer } from "../../plan/dhcp_answer.ts";
import { setLink } from "../../plan/ip.ts";
import type { Step } from "../../plan/step.ts";
import { clientProblem, timeoutSeconds } from "../../plan/udhcpc.ts";
import { type Output, whyFailed, type World } from "../../plan/world.ts";
import type { Lease } from "../plugin.ts";
import { clientFiles, keepClient, lend } from "./dhcp_client.ts";
import { clientId, parseProvide, parseRequest, type Provided, valuesOf } from "./dhcp_options.ts";

/** The address is requested through the link. */
export const kind = "link";

interface Conf {
  readonly request: readonly number[];
  readonly provide: readonly Provided[];
  /** The metric of the routes. */
  readonly priority?: number;
  /** The server must broadcast its answers, because the links of an ipvlan share one MAC address. */
  readonly broadcast: boolean;
  /** The reason why no server can receive requests from this link. */
  readonly unheard?: string;
}

/** Reads the `ipam` object. `daemonSocketPath` is ignored: there is no daemon. */
export function parse(conf: Fields): Conf {
  const ipam = conf.object("ipam");
  return {
    request: parseRequest(ipam?.objects("request") ?? []),
    provide: parseProvide(ipam?.objects("provide") ?? []),
    priority: ipam?.integer("priority", { min: 0, max: 2 ** 32 - 1 }) || undefined,
    broadcast: conf.string("type") === "ipvlan",
    unheard: unheardOn(conf.string("type"), conf.string("mode")),
  };
}

function unheardOn(type: string | undefined, mode: string | undefined): string | undefined {
  if (type === "dummy") return "a link of type dummy leads to no server";
  return type === "ipvlan" && (mode === "l3" || mode === "l3s")
    ? `an ipvlan of mode ${mode} carries no broadcasts, which only mode l2 does`
    : undefined;
}

/** Sets the link up and starts a DHCP client on it. The client runs until the undo. */
export function requestSteps(
  { request, provide, broadcast }: Conf,
  at: Attachment,
  directory: string,
): readonly Step[] {
  const values = new Map([[clientId.code, clientId.of(at)], ...valuesOf(provide, at.args)]);
  return [
    setLink("container", at.ifname, "up"),
    keepClient({ at, directory, request, values, broadcast }),
    lend(at.ifname, directory),
  ];
}

/** The command that prints the lease, or the client's log if there is none. */
export function readCommand(directory: string): readonly string[] {
  const { lease, log } = clientFiles(directory);
  return ["sh", "-c", 'cat "$1" 2>/dev/null || { cat "$2" >&2; exit 1; }', "sh", lease, log];
}

/** Reads the lease that the client got. */
export function readLease(
  { priority }: Conf,
  { ifname }: Attachment,
  output: Output,
): Lease {
  const { code, stdout } = output;
  if (code !== 0) {
    throw new CniError(
      "tryAgainLater",
      `Cannot get an address for "${ifname}" by DHCP: no server has given one within ${timeoutSeconds} s`,
      whyFailed(output).slice(-1000),
    );
  }
  // In a dry run no address is known yet; 0.0.0.0 stands for it.
  if (stdout === "") return { ips: [{ address: "0.0.0.0/24" }], routes: [], dns: {}, claims: [] };
  const { ip, routes, dns } = parseAnswer(stdout);
  const metric = priority === undefined ? {} : { priority };
  return { ips: [ip], routes: routes.map((route) => ({ ...route, ...metric })), dns, claims: [] };
}

/** Checks that the client runs and still has its first address. */
export function checkDrift(
  _: Conf,
  { ifname }: Attachment,
  directory: string,
  world: World,
): string | undefined {
  const { pid, lease, address } = clientFiles(directory);
  const id = world.read(pid)?.trim() || "none";
  if (!(world.read(`/proc/${id}/cmdline`) ?? "").includes(directory)) {
    return `the DHCP client of "${ifname}" does not run any more`;
  }
  const [text, first] = [world.read(lease), world.read(address)?.trim()];
  if (text === undefined) {
    return `the DHCP lease of "${ifname}" has been lost, and no server has renewed it yet`;
  }
  const now = parseAnswer(text).ip.address;
  return now === first ? undefined : `the DHCP server gives "${ifname}" ${now} by now, which was ${first}`;
}

/** The reason why a DHCP request cannot succeed: no client program, or a link without a way to a server. */
export function exhausted({ unheard }: Conf, _at: Attachment, world: World): string | undefined {
  const problem = unheard ?? clientProblem(world);
  return problem === undefined ? undefined : `Cannot ask for addresses by DHCP: ${problem}`;
}
