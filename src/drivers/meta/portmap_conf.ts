/** What portmap's configuration says. */
import { parseHostIp, type PortMapping } from "../../net/port_mapping.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type GatewayModes, parseModes } from "../main/gateway_modes.ts";
import { type Conditions, parseConditions } from "./port_conditions.ts";

/** portmap's configuration, checked. */
export interface Conf {
  readonly mappings: readonly PortMapping[];
  /**
   * Which clients are masqueraded on the way to the container: only those that would get no answer otherwise, all, or
   * none.
   */
  readonly masks: "needed" | "all" | "none";
  readonly conditions: Conditions;
  /** The caller may itself listen on the ports to reserve them. */
  readonly held: boolean;
  /** An iptables chain that marks packets that another program shall masquerade. */
  readonly markChain?: string;
  /** Of a routed family the container's ports are opened to other hosts, and no port of the host's is used. */
  readonly modes: GatewayModes;
}

/**
 * Reads the mappings of runtimeConfig and the options. `backend` may name either of the reference's backends; our own
 * table is used for both. `markMasqBit` is checked but not used: our rules need no mark.
 */
export function parse(conf: Fields): Conf {
  const entries = conf.object("runtimeConfig")?.objects("portMappings") ?? [];
  const [backend, markChain] = [parseBackend(conf), parseMarkChain(conf)];
  const all = conf.boolean("masqAll") ?? false;
  return {
    mappings: entries.map(parseMapping),
    masks: conf.boolean("snat") ?? true ? all ? "all" : "needed" : "none",
    conditions: conf.has("conditionsV4") || conf.has("conditionsV6")
      ? parseConditions(conf, backend)
      : { 4: "", 6: "" },
    held: true,
    modes: parseModes(conf),
    ...(markChain === undefined ? {} : { markChain }),
  };
}

function parseBackend(conf: Fields): "iptables" | "nftables" | undefined {
  const backend = conf.string("backend");
  if (backend === undefined || backend === "iptables" || backend === "nftables") return backend;
  throw failed(`unrecognized backend ${JSON.stringify(backend)}`);
}

function parseMarkChain(conf: Fields): string | undefined {
  const [bit, chain] = [conf.integer("markMasqBit"), conf.string("externalSetMarkChain")];
  if (bit !== undefined && chain !== undefined) {
    throw failed("Cannot specify externalSetMarkChain and markMasqBit");
  }
  if (bit !== undefined && (bit < 0 || bit > 31)) throw failed("MasqMarkBit must be between 0 and 31");
  if (chain === undefined) return undefined;
  if (conf.string("backend") === "nftables") {
    throw failed(
      "nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain]",
    );
  }
  if (/^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(chain)) return chain;
  throw failed(`Cannot use externalSetMarkChain ${JSON.stringify(chain)}: it is no name of a chain`);
}

function failed(problem: string): CniError {
  return new CniError("internal", `failed to parse config: ${problem}`);
}

function parseMapping(entry: Fields): PortMapping {
  const [hostPort, port] = [entry.integer("hostPort") ?? 0, entry.integer("containerPort") ?? 0];
  if (port <= 0 || port > 65535) {
    throw new CniError("internal", `failed to parse config: Invalid container port number: ${port}`);
  }
  if (hostPort <= 0 || hostPort > 65535) {
    throw new CniError("internal", `failed to parse config: Invalid host port number: ${hostPort}`);
  }
  const protocol = (entry.string("protocol") ?? "tcp").toLowerCase();
  if (!["tcp", "udp", "sctp"].includes(protocol)) {
    throw new CniError(
      "internal",
      `failed to parse config: invalid protocol "${protocol}": it is neither tcp, udp nor sctp`,
    );
  }
  const text = entry.string("hostIP");
  const host = text === undefined ? {} : parseHostIp(text);
  if (!host) throw new CniError("internal", `failed to parse config: invalid hostIP "${text}"`);
  return { protocol: protocol as PortMapping["protocol"], hostPort, port, ...host };
}
