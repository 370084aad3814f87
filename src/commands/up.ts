import { identifierProblem } from "../net/names.ts";
import { containerOptions, type Option, type OptionValues, UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { attach } from "../features/container/attach.ts";
import { containerOfPath, containerOfProcess } from "../engine/namespace.ts";
import { describeContainer } from "../features/container/describe.ts";
import { stateDirectory } from "../engine/state.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { isIpv6Off } from "../features/container/live_checks.ts";
import { serviceOptions } from "../features/networks/service_options.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** The name to take it down by, and the options that make sense without a container's root file system. */
export const upOptions: readonly Option[] = [
  ...containerOptions.filter(({ name }) =>
    [
      ...serviceOptions,
      "net",
      "publish",
      "net-dir",
      "egress",
      "rate-in",
      "rate-out",
      "uplink",
      "port-driver",
      "proxy-protocol",
    ]
      .includes(name)
  ),
  {
    name: "id",
    also: "name",
    value: "ID",
    text: "the name to take it down by (default: the path's last word, or pid-N)",
    many: false,
    annotation: false,
  },
];

/** Attaches a namespace to networks. */
export async function up(world: World, typed: string, given: OptionValues): Promise<Report> {
  const target = targetOf(world, typed);
  const options = asTyped(() => parseAttachOptions(given));
  const isPid = /^[0-9]+$/.test(target);
  const container = isPid ? containerOfProcess(world, Number(target)) : containerOfPath(world, target);
  if (options.mode.kind === "host") {
    throw new Error(`Cannot attach "${target}" to network "host": it is a namespace of its own`);
  }
  if (container.identity === world.stat("/proc/self/ns/net")?.identity) {
    throw new Error(`Cannot attach "${target}": it is this very network namespace`);
  }
  const name = given.get("id")?.at(-1) ??
    (container.init ? `pid-${container.init.pid}` : target.slice(target.lastIndexOf("/") + 1));
  const problem = identifierProblem(name);
  if (problem) throw new UsageError(`Cannot use container id ${JSON.stringify(name)}: ${problem}`);
  const record = await attach(world, stateDirectory(world), {
    id: name,
    container,
    options,
    ...(await isIpv6Off(world, container) ? { withoutIpv6: "now" as const } : {}),
    replace: false,
  });
  const described = describeContainer(world, record!);
  return {
    json: described,
    text: described.networks.map(({ name: network, ifname, ips }) =>
      `${name} ${network} ${ifname} ${ips.join(" ")}\n`
    ).join(""),
  };
}

/** A name that `ip netns` knows stands for its path. @throws Error for a name that it does not know */
function targetOf(world: World, typed: string): string {
  if (/^[0-9]+$/.test(typed) || typed.includes("/")) return typed;
  const named = `/run/netns/${typed}`;
  if (world.stat(named) !== undefined) return named;
  throw new Error(`Cannot use namespace "${typed}": there is no ${named}; ip netns add ${typed} makes it`);
}
