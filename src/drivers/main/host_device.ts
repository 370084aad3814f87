import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { type Dns, emptyResult, type Result } from "../../wire/cni/result.ts";
import { parseMac } from "../../net/names.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { Plan } from "../../plan/plan.ts";
import type { HostState, Link } from "../../plan/host_state.ts";
import { type Exec, exec, type Line, line, type Step, words } from "../../plan/step.ts";
import type { Lease, Lookups } from "../plugin.ts";
import { comeBackScript, identityOf, leaveScript, returnedScript, withOwnSysfs } from "./device_identity.ts";
import {
  addressed,
  type BringUp,
  bringUp,
  configure,
  parseBringUp,
  parseOwnDns,
  resultOf,
} from "./move_in.ts";

/** How to find the device: by its link's name, or by the key of `Lookups.devices`. */
type Search =
  | { readonly by: "name"; readonly link: string }
  | { readonly by: "mac"; readonly mac: string }
  | { readonly by: "path"; readonly path: string };

interface Conf {
  readonly search?: Search;
  /** The PCI address, if configured. */
  readonly pci?: string;
  /** A PCI address or a name on the auxiliary bus. It replaces `pci`. */
  readonly deviceId?: string;
  readonly bringUp: BringUp;
  /** It replaces IPAM's DNS settings. */
  readonly dns?: Dns;
}

/** The container's link is one of the host's, and returns to the host. */
export const keepsLink = true;

const [pciBus, auxiliaryBus] = ["/sys/bus/pci/devices", "/sys/bus/auxiliary/devices"];

/** Its link is one of the host's, and has no end there meanwhile. */
export const apart = "link";

/** Reads a host-device configuration. */
export function parse(conf: Fields): Conf {
  const deviceId = readBusName(conf.object("runtimeConfig")?.string("deviceID"));
  const pci = readBusName(conf.string("pciBusID"));
  const search = parseSearch(conf);
  if (!search && !pci && !deviceId) {
    throw wrong('specify either "device", "hwaddr", "kernelpath" or "pciBusID"');
  }
  return { search, pci, deviceId, bringUp: parseBringUp(conf), dns: parseOwnDns(conf) };
}

/** Reads the name of a device's directory on its bus. */
function readBusName(name: string | undefined): string | undefined {
  if (name === undefined || /^[A-Za-z0-9][A-Za-z0-9_.:-]*$/.test(name)) return name;
  throw wrong(`runtime config DeviceID ${name} not found or unsupported`);
}

function parseSearch(conf: Fields): Search | undefined {
  const [link, hwaddr, path] = ["device", "hwaddr", "kernelpath"].map((key) => conf.string(key));
  if (link !== undefined) return { by: "name", link };
  if (hwaddr !== undefined) return { by: "mac", mac: readMac(hwaddr) };
  if (path === undefined) return undefined;
  if (/^\/sys\/devices\//.test(path) && !/(^|\/)\.\.(\/|$)/.test(path)) return { by: "path", path };
  throw notFound(`kernel device path ${JSON.stringify(path)} must be absolute and begin with /sys/devices/`);
}

function readMac(text: string): string {
  const mac = parseMac(text);
  if (mac !== undefined) return mac;
  throw notFound(
    `failed to parse MAC address ${JSON.stringify(text)}: address ${text}: invalid MAC address`,
  );
}

function wrong(message: string): CniError {
  return new CniError("internal", message);
}

function notFound(reason: string): CniError {
  return wrong(`failed to find host device: ${reason}`);
}

/** Looks the device up by whatever identifies it. */
export function lookups({ search, pci, deviceId }: Conf): Lookups {
  return {
    links: search?.by === "name" ? [search.link] : [],
    devices: [
      ...(search?.by === "mac" ? [search.mac] : search?.by === "path" ? [search.path] : []),
      ...(pci === undefined ? [] : [`${pciBus}/${pci}`]),
      ...(deviceId === undefined ? [] : [`${pciBus}/${deviceId}`, `${auxiliaryBus}/${deviceId}`]),
    ],
  };
}

/**
 * Moves the link into the container. A device with a user-space driver (DPDK) has no link; the result only names it.
 */
export function link(conf: Conf, at: Attachment, seen: HostState): Plan {
  const device = directoryOf(conf, seen);
  if (device?.startsWith(pciBus) && servesProgram(device, seen)) {
    return { steps: [], result: resultOf(at, undefined, {}) };
  }
  const found = findLink(conf, device, seen);
  // Every namespace has a loopback, and the container's would be taken for the device.
  if (found.index === 1) {
    throw wrong(`Cannot move ${found.name}: the kernel keeps it where it is; name another device`);
  }
  return {
    steps: [...moveIn(found, at), ...bringUp(conf.bringUp, at.ifname)],
    result: resultOf(at, found.mac, {}),
  };
}

/** The directory of the device on its bus, if the configuration names it by bus. */
function directoryOf({ pci, deviceId }: Conf, { devices }: HostState): string | undefined {
  if (deviceId === undefined) return pci && `${pciBus}/${pci}`;
  const found = [pciBus, auxiliaryBus].map((bus) => `${bus}/${deviceId}`).find((path) => devices?.has(path));
  if (found !== undefined) return found;
  throw wrong(`runtime config DeviceID ${deviceId} not found or unsupported`);
}

/** Whether a DPDK program uses the device. */
function servesProgram(device: string, { devices }: HostState): boolean {
  const driver = devices?.get(device)?.driver;
  if (driver !== undefined) return ["vfio-pci", "uio_pci_generic", "igb_uio"].includes(driver);
  throw wrong(`error with host device: lstat ${device}/driver: no such file or directory`);
}

function findLink({ search }: Conf, device: string | undefined, { links, devices }: HostState): Link {
  if (search?.by === "name") return links.get(search.link) ?? fail("Link not found");
  if (search?.by === "mac") {
    return links.get(devices?.get(search.mac)?.link ?? "") ?? fail("failed to find physical interface");
  }
  const path = search?.path ?? device!;
  const link = links.get(devices?.get(path)?.link ?? "");
  if (link) return link;
  return path.startsWith(pciBus)
    ? fail(`no net directory under pci device ${path.slice(pciBus.length + 1)}`)
    : fail(`failed to find network device in path ${path}/net`);
}

function fail(reason: string): never {
  throw notFound(reason);
}

/**
 * Moves the link, and restores it at undo. The alias holds the link's name on the host. It is moved under a unique
 * interim name: the container may have a link with the same name, and the kernel does not revert a move whose rename
 * fails. The undo first moves it out of the container by its identity, since the container may have renamed it. Only a
 * process in the container's namespace can do that. Then its original settings are restored.
 */
export function moveIn(link: Link, at: Attachment): readonly Step[] {
  const { name, up, hardware } = link;
  const interim = interimName(at);
  return [
    host(
      name,
      "down",
      words`link set dev ${name} down`,
      words`link set dev ${name} alias` + ` ""${up ? " up" : ""}`,
    ),
    host(
      name,
      "alias",
      words`link set dev ${name} alias ${name}`,
      words`link set dev ${interim} name ${name}`,
    ),
    restored(link, interim),
    ...(hardware ? [returned(link, interim)] : []),
    comeBack(link, interim),
    host(name, "netns", words`link set dev ${name} netns ${at.netns} name ${interim}`),
    line(
      "ip",
      "container",
      { kind: "link-setting", link: interim, name: "name" },
      words`link set dev ${interim} name ${at.ifname}`,
    ),
  ];
}

function comeBack(link: Link, interim: string): Exec {
  const what = `give ${link.name} back`;
  return exec("container", what, {
    shows: what,
    undo: withOwnSysfs(comeBackScript, ...identityOf(link), link.name, interim),
  });
}

/** Another program's ADD also stored the name in the alias. */
export function unrecorded({ ifname }: Attachment, { search, pci, deviceId }: Conf): readonly Step[] {
  const wanted = [
    search?.by === "name" ? search.link : "",
    search?.by === "mac" ? search.mac : "",
    deviceId ?? pci ?? (search?.by === "path" ? search.path.split("/").at(-1)! : ""),
  ];
  return [exec("container", `give ${ifname} back`, { undo: withOwnSysfs(leaveScript, ifname, ...wanted) })];
}

function returned(link: Link, interim: string): Exec {
  return exec("host", `find ${link.name} again`, {
    undo: withOwnSysfs(returnedScript, ...identityOf(link), interim, link.name),
  });
}

/**
 * Restores the settings. udev turns a link's lost name into an alternative name, which must be removed before the link
 * can have that name again.
 */
const restoredScript =
  'link=$1 name=$2 mac=$3; shift 3; ip link show dev "$link" >/dev/null 2>&1 || exit 0; ' +
  'ip link property del dev "$link" altname "$name" 2>/dev/null; ' +
  '[ -z "$mac" ] || ip link set dev "$link" address "$mac"; exec ip link set dev "$link" "$@"';

/**
 * The MAC address is set separately, because some kinds of links do not allow it. Flags that were set by a master are
 * not restored.
 */
function restored(
  { name, mac, mtu, queueLength, promiscuous, allMulticast, master }: Link,
  interim: string,
): Exec {
  const onOff = (value: boolean | undefined) => value && master === undefined ? "on" : "off";
  const undo = ["sh", "-c", restoredScript, "sh", interim, name, mac, "mtu", `${mtu}`];
  const flags = ["promisc", onOff(promiscuous), "allmulticast", onOff(allMulticast)];
  const queue = queueLength === undefined ? [] : ["txqueuelen", `${queueLength}`];
  return exec("host", `restore ${interim}`, { undo: [...undo, ...flags, ...queue] });
}

/** The prefix is not "veth": cleanup removes links with names of that form. */
export function interimName(at: Attachment): string {
  return `move${at.digest.slice(0, 11)}`;
}

function host(link: string, setting: string, run: string, undo?: string): Line {
  const id = { kind: "link-setting", link, name: setting } as const;
  return line("ip", "host", id, run, undo === undefined ? {} : { undo });
}

/** Adds the addresses. */
export function address(conf: Conf, at: Attachment, lease: Lease, made: Result, seen: HostState): Plan {
  const device = directoryOf(conf, seen);
  const arrived = { made, bringUp: conf.bringUp, names: [interimName(at), at.ifname] };
  return {
    steps: device?.startsWith(pciBus) && servesProgram(device, seen) ? [] : configure(lease, arrived),
    result: addressed(made, lease, conf.dns),
  };
}

/** The result of a device with a user-space driver has no link. */
export function lasting(conf: Conf, made: Result, seen: HostState): Result {
  const device = directoryOf(conf, seen);
  return device?.startsWith(pciBus) && servesProgram(device, seen) ? emptyResult : made;
}

/** Checks that the container's link is the configured device. */
export function checkDrift(
  { search }: Conf,
  { ifname }: Attachment,
  _made: Result,
  { inside }: HostState,
): string | undefined {
  const link = inside?.links.get(ifname);
  if (search?.by !== "name" || link?.alias === search.link || link?.altNames?.includes(search.link)) {
    return undefined;
  }
  return `container interface "${ifname}" is not the host's device "${search.link}"`;
}

/** Checks that the device is available. Only one container can have it. */
export function statusProblem(conf: Conf, seen: HostState): void {
  const device = directoryOf(conf, seen);
  if (!device?.startsWith(pciBus) || !servesProgram(device, seen)) findLink(conf, device, seen);
}
