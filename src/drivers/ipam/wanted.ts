import { parseAddress, parseCidr } from "../../net/address.ts";
import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";

/** The addresses that a runtime asks for: `ips` of its capability, or else of `args`. @throws CniError for another text */
export function wantedAddresses(conf: Fields): readonly string[] {
  const asked = [
    conf.object("runtimeConfig")?.strings("ips"),
    conf.object("args")?.object("cni")?.strings("ips"),
  ];
  return (asked.find((ips) => ips?.length) ?? []).map(wantedAddress);
}

/** An address, without its prefix length if it has one. @throws CniError for another text */
export function wantedAddress(text: string): string {
  const address = parseAddress(text) ?? parseCidr(text)?.address;
  if (address === undefined) throw new CniError("invalidConfig", `Cannot use address "${text}": it is none`);
  return address;
}
