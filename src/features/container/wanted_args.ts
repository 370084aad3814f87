import { readsArgs } from "../../drivers/table.ts";
import { typesOf } from "../../engine/external_plugin.ts";
import { checkArgs, parseArgs } from "../../wire/cni/args.ts";
import { CniError } from "../../wire/cni/error.ts";
import { parseMac } from "../../net/names.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";

/** Which of our types read an argument of a network. MAC is also set for those that do not read it. */
const readers: Readonly<Record<string, readonly string[]>> = {
  IP: ["host-local", "static", "cluster", "docker-ipam"],
  GATEWAY: ["static"],
  MAC: ["bridge", "macvlan", "tap", "overlay", "docker-network", "tuning"],
};

/** The main types whose interfaces have no MAC address of their own, and why. */
const sharedMac: Readonly<Record<string, string>> = {
  ipvlan: "every interface of an ipvlan has its master's; leave it out, or use a macvlan",
  loopback: "a loopback interface has none; leave it out",
};

/**
 * The network for a container that asks for an address, a gateway or a MAC address. The reference's plugins ignore those
 * that they do not read. Here nothing is ignored: tuning sets a MAC address that the main type does not read.
 * @throws CniError for what the network cannot give
 */
export function withWantedArgs(list: NetworkList, text: string): NetworkList {
  const [types, args] = [list.plugins.flatMap(typesOf), parseArgs(text)];
  if (types.some(readsArgs)) checkArgs(text);
  const isUnread = (key: string) => args.get(key) && !types.some((type) => readers[key]!.includes(type));
  for (const key of ["IP", "GATEWAY"]) if (isUnread(key)) throw refuse(key, args, whyNot(key, list));
  const [main] = list.plugins;
  const isPassthru = main?.type === "macvlan" && main["mode"] === "passthru";
  const shared = isPassthru
    ? 'in mode "passthru" it has its master\'s; leave it out, or use another mode'
    : sharedMac[main?.type ?? ""];
  if (args.get("MAC") && shared !== undefined) throw refuse("MAC", args, shared);
  if (isNoLinks(args.get("MAC") ?? "")) {
    throw refuse("MAC", args, "it is not the address of one link, such as 02:00:00:00:00:01");
  }
  return isUnread("MAC") ? { ...list, plugins: [...list.plugins, { type: "tuning" }] } : list;
}

/** A group's address, or none at all, which the kernel gives to no link. What is no MAC address is told elsewhere. */
function isNoLinks(text: string): boolean {
  const mac = parseMac(text);
  return mac !== undefined && (parseInt(mac, 16) % 2 === 1 || /^[0:]+$/.test(mac));
}

function whyNot(key: string, { plugins }: NetworkList): string {
  const ipam = plugins.flatMap((plugin) => typesOf(plugin).slice(1))[0];
  if (ipam === undefined) return 'its configuration has no "ipam", so it gives no addresses';
  const givers = readers[key]!.slice(0, 2).map((type) => `"${type}"`).join(" or ");
  return `its addresses are from "${ipam}", which takes no such wish; leave it out, or use ${givers}`;
}

function refuse(key: string, args: ReadonlyMap<string, string>, why: string): CniError {
  return new CniError("invalidConfig", `Cannot use ${key}=${args.get(key)}: ${why}`);
}
