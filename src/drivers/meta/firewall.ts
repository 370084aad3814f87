import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Ip, Result } from "../../wire/cni/result.ts";
import { firewalldSigns } from "../../plan/firewalld.ts";
import { setLink } from "../../plan/ip.ts";
import { adminComment } from "../../plan/iptables.ts";
import { type Endpoint, keepApart, letPass, open } from "../../plan/nft/endpoint.ts";
import { tryRules } from "../../plan/nft/table.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState } from "../../plan/host_state.ts";
import { type Exec, exec, type Step, words } from "../../plan/step.ts";
import { endpointLookups, endpointOf } from "../main/endpoint.ts";
import { type GatewayModes, hasMode, parseModes } from "../main/gateway_modes.ts";
import { alone } from "../main/layer3.ts";
import type { Lookups } from "../plugin.ts";
import { hostLinks, ownIps } from "../../wire/cni/previous_result.ts";

const policies = ["open", "same-bridge", "isolated"] as const;

interface Conf {
  /** Absent: firewalld is used if it runs. */
  readonly firewalld?: boolean;
  readonly zone: string;
  /** The administrator's iptables chain; absent if iptables is not to be used. */
  readonly adminChain?: string;
  /** Absent: this type does not decide from where the address can be reached. */
  readonly ingressPolicy?: typeof policies[number];
  /** Only families that are unprotected are let pass and opened. */
  readonly modes: GatewayModes;
}

/** The same as the reference's. Before that version, DEL is not told the addresses. */
export const since = "0.4.0";

/** The error if no plugin came before. */
export const unchained = "missing prevResult from earlier plugin";

/**
 * Reads a firewall configuration. The backends "iptables" and "nftables" mean our own table; one iptables rule accepts
 * the packets it marks. "firewalld" means firewalld in addition. So does any other word, and no word, if firewalld
 * runs. An administrator's iptables chain is called first, unless the backend is "nftables".
 */
export function parse(conf: Fields): Conf {
  const [backend, policy] = [conf.string("backend"), conf.string("ingressPolicy")];
  const adminChain = parseChainName(conf.string("iptablesAdminChainName") ?? "CNI-ADMIN");
  if (policy !== undefined && !(policies as readonly string[]).includes(policy)) {
    throw new CniError("internal", `unknown ingress policy: "${policy}"`);
  }
  const own = backend === "iptables" || backend === "nftables";
  return {
    ...(own || backend === "firewalld" ? { firewalld: backend === "firewalld" } : {}),
    modes: parseModes(conf, "nat-unprotected"),
    zone: conf.string("firewalldZone") ?? "trusted",
    ...(backend === "nftables" ? {} : { adminChain }),
    ...(policy === undefined ? {} : { ingressPolicy: policy as typeof policies[number] }),
  };
}

/** iptables allows names of up to 28 bytes, but for those of its own chains and verdicts. */
function parseChainName(name: string): string {
  const own = /^(INPUT|FORWARD|OUTPUT|ACCEPT|DROP|QUEUE|RETURN)$/;
  if (/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,27}$/.test(name) && !own.test(name)) return name;
  throw new CniError(
    "internal",
    `failed to parse config: Cannot use iptablesAdminChainName ${
      JSON.stringify(name)
    }: it is no name of a chain`,
  );
}

/**
 * Looks up whether firewalld runs, unless the configuration decides it, and the host's routes to addresses that other
 * plugins made.
 */
export function lookups({ firewalld }: Conf, at: Attachment, made?: Result): Lookups {
  return { ...endpointLookups(at, made), ...(firewalld === false ? {} : { files: firewalldSigns }) };
}

/**
 * Lets the container's traffic pass if the host does not forward in general. An `ingressPolicy` opens its addresses to
 * other hosts. With "same-bridge" containers of other networks are blocked, with "isolated" those of its own network
 * too.
 */
export function plan(conf: Conf, at: Attachment, made: Result, seen: HostState): Plan {
  const [ips, endpoint] = [openIps(conf, at, made), endpointOf(at, made, seen.reached)];
  const { ingressPolicy: policy, firewalld = isRunning(seen), adminChain } = conf;
  return {
    steps: [
      ...(endpoint ? letPass(endpoint, ips) : []),
      ...(endpoint && policy !== undefined ? open(endpoint, ips) : []),
      ...(policy === undefined || policy === "open" ? [] : restrict(policy, endpoint, ips, made)),
      ...(firewalld ? trust(conf.zone, ips) : []),
      ...(adminChain === undefined || ips.length === 0 ? [] : [callAdminChain(adminChain)]),
    ],
    result: made,
  };
}

function openIps({ modes }: Conf, { ifname }: Attachment, made: Result): readonly Ip[] {
  return ownIps(made, ifname).filter(hasMode(modes, "nat-unprotected"));
}

/**
 * Makes the administrator's chain, and lets FORWARD call it before all other rules, for both families. The chain stays.
 */
const callScript =
  "chain=$1 note=$2; for p in iptables ip6tables; do command -v $p >/dev/null || continue; " +
  '( $p -w -C FORWARD -m comment --comment "$note" -j "$chain" 2>/dev/null && exit; $p -w -N "$chain" 2>/dev/null; ' +
  '$p -w -I FORWARD -m comment --comment "$note" -j "$chain" ) & done; wait';

function callAdminChain(chain: string): Exec {
  return exec("host", `call ${chain}`, {
    run: ["sh", "-c", callScript, "sh", chain, adminComment],
    shows: `iptables -I FORWARD -j ${chain}; ip6tables -I FORWARD -j ${chain}`,
    onError: "ignore",
  });
}

function isRunning({ files }: HostState): boolean {
  return firewalldSigns.some((path) => files?.get(path)?.trim());
}

function restrict(
  policy: "same-bridge" | "isolated",
  endpoint: Endpoint | undefined,
  ips: readonly Ip[],
  made: Result,
): readonly Step[] {
  const [bridge, port] = hostLinks({ ...made, interfaces: made.interfaces.slice(0, 2) });
  if (!endpoint || bridge === undefined || made.interfaces[0]?.name !== bridge) {
    throw new CniError(
      "internal",
      `interface needs to be set for ingress policy "${policy}", make sure to chain "firewall" plugin with "bridge"`,
    );
  }
  return [
    ...keepApart(endpoint, ips, policy === "isolated"),
    ...(policy === "isolated" && port !== undefined ? [isolate(port)] : []),
  ];
}

/**
 * Isolates a bridge port. Traffic between two ports of a bridge passes no rule of the host, but the bridge itself can
 * block it.
 */
function isolate(port: string): Step {
  const on = setLink("host", port, "type", "bridge_slave", "isolated", "on");
  return { ...on, undo: setLink("host", port, "type", "bridge_slave", "isolated", "off").run };
}

/** Adds addresses to a zone of firewalld. */
export function trust(zone: string, ips: readonly Ip[]): readonly Exec[] {
  if (ips.length === 0) return [];
  const command = (verb: string) => [
    "firewall-cmd",
    words`--zone=${zone}`,
    ...ips.map(({ address }) => `--${verb}-source=${alone(address)}`),
  ];
  return [exec("host", "firewalld sources", { run: command("add"), undo: command("remove") })];
}

/** Looks up firewalld's zones of the addresses, and the chains that FORWARD calls. */
export function evidence(conf: Conf, at: Attachment, made: Result): Lookups {
  const { firewalld, adminChain } = conf;
  const zones = firewalld ? openIps(conf, at, made).map(({ address }) => zoneOf(alone(address))) : [];
  return { answers: [...zones, ...(adminChain === undefined ? [] : forwardRules)] };
}

const forwardRules = ["iptables", "ip6tables"].map((program) => `${program} -w -S FORWARD`);

function zoneOf(source: string): string {
  return `firewall-cmd --get-zone-of-source=${source}`;
}

/** Checks the port's isolation and the zone. */
export function checkDrift(
  conf: Conf,
  at: Attachment,
  made: Result,
  seen: HostState,
): string | undefined {
  const ports = hostLinks(made).map((name) => seen.links.get(name)).filter((link) =>
    link?.port !== undefined
  );
  const open = conf.ingressPolicy === "isolated" ? ports.find((link) => !link?.port?.isolated) : undefined;
  if (open) return `bridge port "${open.name}" is no longer isolated`;
  // If the program is missing, there is no output.
  const uncalled = conf.adminChain !== undefined &&
    forwardRules.some((look) =>
      (seen.answers?.get(look) ?? "") !== "" && !callsIn(seen.answers!.get(look)!, conf.adminChain!)
    );
  if (uncalled) return `FORWARD does not call "${conf.adminChain}"`;
  const away = conf.firewalld
    ? openIps(conf, at, made).map(({ address }) => alone(address)).find((source) =>
      seen.answers?.get(zoneOf(source))?.trim() !== conf.zone
    )
    : undefined;
  return away && `firewalld does not have ${away} in zone "${conf.zone}"`;
}

function callsIn(rules: string, chain: string): boolean {
  return rules.split("\n").some((rule) => rule.endsWith(` -j ${chain}`));
}

/** Tests for rules, and for firewalld's program if firewalld is required. */
export function kernelProbe({ firewalld }: Conf): readonly string[] {
  return [...tryRules, ...(firewalld ? ["firewall-cmd --version"] : [])];
}

/** Checks that firewalld runs if it is required. */
export function statusProblem({ firewalld }: Conf, seen: HostState): void {
  if (firewalld && !isRunning(seen)) throw new CniError("internal", "firewalld is not running");
}
