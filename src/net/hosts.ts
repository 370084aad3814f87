import { parseAddress } from "./address.ts";

/** The value of `--hosts-entry`: the host's own file, or a map from address to names. */
export type Hosts = "host" | ReadonlyMap<string, readonly string[]>;

/**
 * Reads every value of `--hosts-entry`: `IP=NAME[,IP=NAME…]`, or `host` alone. Names of the same address are merged.
 * @throws Error naming the value and the reason
 */
export function parseHostsEntries(values: readonly string[]): Hosts {
  const items = values.flatMap((value) => value.split(","));
  if (items.includes("host")) {
    if (items.some((item) => item !== "host")) {
      throw new Error("cannot pass --hosts-entry=host with multiple hosts-entries");
    }
    return "host";
  }
  const names = new Map<string, string[]>();
  for (const item of items) {
    const [ip, name, ...rest] = pairOf(item);
    const address = parseAddress(ip ?? "");
    // Docker's order is the other one.
    const isTurned = !address && parseAddress(name ?? "");
    if (!ip || !name || rest.length > 0 || isTurned || !/^[A-Za-z0-9_.-]+$/.test(name)) {
      throw new Error(
        `Did not understand --hosts-entry ${JSON.stringify(item)}: it is not IP=NAME`,
      );
    }
    if (!address) throw new Error(`Invalid IP passed to --hosts-entry: ${JSON.stringify(ip)}`);
    names.set(address, [...names.get(address) ?? [], name]);
  }
  return names;
}

/** Docker's order, NAME:IP, is accepted too. */
function pairOf(item: string): readonly (string | undefined)[] {
  const [, name, ip] = /^([^:=]+):([^=]+)$/.exec(item) ?? [];
  return name && ip && !parseAddress(item) ? [ip.replace(/^\[(.*)\]$/, "$1"), name] : item.split("=");
}

const localhost = [
  "127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4",
  "::1\tlocalhost localhost.localdomain localhost6 localhost6.localdomain6",
  "fe00::0\tip6-localnet",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** A hosts(5) file with these entries, localhost and the container's own name. */
export function formatHosts(
  entries: ReadonlyMap<string, readonly string[]>,
  hostname: string | undefined,
): string {
  const [first, ...others] = localhost;
  return [
    hostname === undefined ? first : `${first} ${hostname}`,
    ...others,
    ...(entries.size > 0 ? ["", "# Added by ocinet --hosts-entry"] : []),
    ...Array.from(entries, ([address, names]) => `${address} ${names.join(" ")}`),
    "",
  ].join("\n");
}
