import { parseAddress } from "../../net/address.ts";
import type { Protocol } from "../../net/port_mapping.ts";
import type { Target } from "./seen.ts";

/**
 * Reads what a person types after the container: `world`, an address, `:8080` or `:53/udp`; all else is a container.
 * @throws Error for a port that can be none, or an address with one
 */
export function parseTarget(text = "world"): Target {
  if (text === "world") return { kind: "world" };
  const address = parseAddress(text);
  if (address !== undefined) return { kind: "address", address };
  const at = text.lastIndexOf(":");
  if (at > 0 && parseAddress(text.slice(0, at).replace(/^\[|\]$/g, "")) !== undefined) {
    throw new Error(
      `Cannot trace to "${text}": an address is traced without a port; leave "${text.slice(at)}" out`,
    );
  }
  if (!text.startsWith(":")) return { kind: "container", id: text };
  const [, digits, protocol = "tcp"] = /^:([0-9]{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65535) {
    throw new Error(`Cannot trace to "${text}": it is not :PORT or :PORT/udp, with a port from 1 to 65535`);
  }
  return { kind: "port", port, protocol: protocol as Protocol };
}
