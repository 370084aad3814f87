/** The machine that the laws of failure are tried on, with what is others' on it. */
import { addAddress, addLink, mainTable, namespaceOf, setUp } from "../host/fake/kernel.ts";
import { type Fake, newFake } from "../host/fake.ts";

const digests = new Map<string, ArrayBuffer>();

/** The runtime's digests take most of a test's time, and there are few of them. */
function rememberDigests(): void {
  const { subtle } = crypto;
  const real = subtle.digest.bind(subtle);
  const digest = async (algorithm: string, data: Uint8Array<ArrayBuffer>) => {
    const key = String.fromCharCode(...data);
    const found = digests.get(key) ?? await real(algorithm, data);
    digests.set(key, found);
    return found;
  };
  Object.defineProperty(subtle, "digest", { value: digest, configurable: true });
}
rememberDigests();

/** Where state is kept. */
export const state = "/run/ocinet";

/** A host with an uplink, spare hardware, and links, rules and files of its administrator's; it forwards already. */
export function newHost(): Fake {
  const fake = newFake();
  const { kernel } = fake;
  const host = namespaceOf(kernel, kernel.own);
  const addUp = (name: string, kind: string, ...addresses: readonly string[]) => {
    const link = addLink(kernel, host, name, kind);
    setUp(host, link, true);
    addresses.forEach((address) => addAddress(host, link, address));
    return link;
  };
  const uplink = addUp("eth0", "", "192.0.2.1/24", "2001:db8::1/64");
  ["eth8", "eth9"].forEach((name) => addUp(name, "").hardware = true);
  addUp("br-admin", "bridge", "10.99.0.1/24");
  const defaults = [["0.0.0.0/0", "192.0.2.254"], ["::/0", "2001:db8::fe"]] as const;
  for (const [dst, via] of defaults) {
    const attributes = [["via", via]] as const;
    host.routes.push({ dst, index: uplink.index, table: mainTable, type: "unicast", attributes });
  }
  Object.assign(host.sysctls, { "net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1" });
  host.tables["inet admin"] = {
    chains: {
      forward: { spec: "{ type filter hook forward priority 0; }", rules: ["ct state invalid drop"] },
    },
    sets: {
      blocked: {
        spec: "{ type ipv4_addr; }",
        isMap: false,
        elements: { "203.0.113.9": { value: "", comment: "" } },
      },
    },
  };
  kernel.flows.push("udp      17 29 src=192.0.2.9 dst=192.0.2.1 sport=4000 dport=123 [UNREPLIED] ");
  fake.place("/run/other/file", "the administrator's");
  fake.place("/run/flannel/subnet.env", subnetFile);
  return fake;
}

const subnetFile =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/**
 * What is there, as far as it matters: an allocator goes on from the last address wherever it was, and a container's
 * loopback link is its own alone.
 */
export function dumpOf(fake: Fake): readonly string[] {
  return fake.dump().filter((line) => !passing.some((pattern) => pattern.test(line)))
    .map((line) =>
      line.startsWith("file /run/ocinet/") || line.includes(".boots") ? line.replace(passingWords, "") : line
    )
    .map(shorten);
}

/** When a container was attached, and what tells a file from a later one with its name. */
const passingWords = /(?<="created\\":\\")[^"\\]*|\b1:[0-9]+ [0-9]+\b/g;

/** A failing test prints these: of a long line, its beginning, and a number by which it differs from others. */
function shorten(line: string): string {
  if (line.length < 300) return line;
  let hash = 0;
  for (let i = 0; i < line.length; i++) hash = (Math.imul(hash, 31) + line.charCodeAt(i)) | 0;
  return `${line.slice(0, 120)}… ${hash}`;
}

const passing = [
  // The resolver ends by itself, a while after the last name is gone whose removal was cut short by a kill.
  /^process .* resolver \/run\/ocinet\/resolver\/socket|^file \/run\/ocinet\/resolver\//,
  /^directory /,
  // Begun by a process that was killed, in a directory that is not ours to look through.
  /^file \/(run\/cni\/tuning|var\/lib\/cni\/flannel)\/\.[^/]+\.[0-9]+\.[0-9]+ /,
  /\/last_reserved_ip\.[0-9]+ /,
  /^\/run\/netns\/[^:]+: (link lo|address \S+ dev lo|sysctl \S+ of lo|route .* dev lo) ?/,
  // What a killed process leaves of a lock is a file that no process has locked.
  /^(file|directory) \/run\/ocinet\/locks(\/| |$)/,
];

/** Lines that are in the first list, and not in the second. */
export function missingFrom(lines: readonly string[], others: readonly string[]): readonly string[] {
  const there = new Set(others);
  return lines.filter((line) => !there.has(line));
}
