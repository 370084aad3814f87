import type { Fields } from "../wire/cni/fields.ts";
import type { Result } from "../wire/cni/result.ts";
import { sha512 } from "../net/names.ts";
import type { Attachment } from "../plan/attachment.ts";
import type { Going } from "../plan/iptables.ts";
import type { Commented } from "../plan/nft/comment.ts";
import type { Step } from "../plan/step.ts";
import { alone } from "./main/layer3.ts";
import { namedIfb } from "./meta/bandwidth.ts";
import { parse as parseFirewall, trust } from "./meta/firewall.ts";
import { ownIps } from "../wire/cni/previous_result.ts";
import { backupPath, parse as parseTuning } from "./meta/tuning.ts";

/**
 * What a plugin of the reference may have left outside the container, identified by names that no other program uses.
 */
export interface Leftovers {
  readonly iptables?: Going;
  readonly nft?: readonly (Commented & { readonly table: string })[];
  readonly link?: string;
  readonly file?: string;
  /** Undone only if firewalld runs. */
  readonly firewalld?: readonly Step[];
}

/** The hash of network name and container id, and the marks of one interface's rules. */
interface Marks {
  readonly hash: string;
  readonly masquerade: string;
}

interface Asked {
  readonly conf: Fields;
  readonly at: Attachment;
  readonly made: Result;
}

/**
 * What an ADD of the reference's plugin of a type leaves, beside what its prevResult names. The names follow
 * pkg/utils/utils.go and the plugins' own sources (1.1.1 and 1.9.1). All backends are covered, because the
 * configuration may have named another one at ADD, or the plugin chose it. Most names do not depend on the interface.
 * So if a container is on a network twice, the first DEL removes the rules of both, as the reference's does.
 */
export async function leftovers(type: string, asked: Asked): Promise<Leftovers> {
  const { containerId, network, ifname } = asked.at;
  const [hash, ...marks] = await Promise.all(
    [network + containerId, network, `${ifname}:${containerId}`].map(sha512),
  );
  const masquerade = marks.map((mark) => mark.slice(0, 16)).join("-");
  return byType[type]?.(asked, { hash: hash!, masquerade }) ?? {};
}

const byType: Readonly<Record<string, (asked: Asked, marks: Marks) => Leftovers>> = {
  bridge: (asked, marks) => {
    const { nft = [], ...rest } = ofMasquerade(asked, marks);
    return { ...rest, nft: [...nft, ...ofSpoofCheck(asked)] };
  },
  ptp: ofMasquerade,
  portmap: ofPorts,
  firewall: ofFirewall,
  bandwidth: ({ made }, { hash }) => ({ link: namedIfb(made) ?? `bwp${hash.slice(0, 12)}` }),
  tuning: ({ conf, at }) => ({ file: backupPath(parseTuning(conf), at) }),
};

function ofMasquerade({ conf }: Asked, { hash, masquerade }: Marks): Leftovers {
  if (!conf.boolean("ipMasq")) return {};
  const isTheirs = (comment: string) => comment.startsWith(`${masquerade},`);
  return {
    iptables: { table: "nat", chains: [`CNI-${hash.slice(0, 24)}`] },
    nft: [{ table: "inet cni_plugins_masquerade", isTheirs }],
  };
}

function ofFirewall({ conf, made, at }: Asked): Leftovers {
  const ips = ownIps(made, at.ifname);
  if (ips.length === 0) return {};
  const rules = ips.map(({ address }) => alone(address)).flatMap((ip) => [
    `-A CNI-FORWARD -d ${ip} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-A CNI-FORWARD -s ${ip} -j ACCEPT`,
  ]);
  return { iptables: { table: "filter", rules }, firewalld: trust(parseFirewall(conf).zone, ips) };
}

function ofSpoofCheck({ conf, at: { containerId, ifname } }: Asked): NonNullable<Leftovers["nft"]> {
  if (!conf.boolean("macspoofchk")) return [];
  const [mark, chain] = [`macspoofchk-${containerId}-${ifname}`, `cni-br-iface-${containerId}-${ifname}`];
  return [{ table: "bridge nat", isTheirs: (comment) => comment === mark, chains: [chain, `${chain}-mac`] }];
}

function ofPorts({ conf, at }: Asked, { hash }: Marks): Leftovers {
  // Without mappings the reference makes nothing, and its DEL does nothing.
  if (!conf.object("runtimeConfig")?.objects("portMappings")?.length) return {};
  const isTheirs = (comment: string) => comment === at.containerId;
  return {
    // "SN" was used before 0.7.0.
    iptables: { table: "nat", chains: ["DN", "SN"].map((of) => `CNI-${of}-${hash.slice(0, 21)}`) },
    nft: ["ip", "ip6"].map((family) => ({ table: `${family} cni_hostport`, isTheirs })),
  };
}
