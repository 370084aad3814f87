import type { Fields } from "../cni/fields.ts";
import type { Result } from "../cni/result.ts";
import { sha512 } from "../net/names.ts";
import type { Attachment } from "../plan/attachment.ts";
import type { Going } from "../plan/iptables.ts";
import type { Commented } from "../plan/nft_comment.ts";
import { alone } from "./main/layer3.ts";
import { ownIps } from "./meta/previous.ts";
import { backupPath, parse as parseTuning } from "./meta/tuning.ts";

/** What a plugin of the reference may have left outside the container, by names that nobody else's have. */
export interface Leftovers {
  readonly iptables?: Going;
  readonly nft?: readonly (Commented & { readonly table: string })[];
  readonly link?: string;
  readonly file?: string;
}

/** The network's name and the container's id in one hash, and what marks the rules of one interface. */
interface Marks {
  readonly hash: string;
  readonly masquerade: string;
}

/** A request, and whether the reference uses nft where that names no backend: it does where iptables is missing. */
interface Asked {
  readonly conf: Fields;
  readonly at: Attachment;
  readonly made: Result;
  readonly prefersNft: boolean;
}

/**
 * What an ADD of the reference's plugin of a type leaves, but for what its prevResult names: names follow
 * pkg/utils/utils.go and the plugins' own sources (1.1.1 and 1.9.1). Most leave out the interface; so of a container that
 * is on a network twice, the first DEL takes the rules of both, as the reference's does.
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
  bandwidth: (_, { hash }) => ({ link: `bwp${hash.slice(0, 12)}` }),
  tuning: ({ conf, at }) => ({ file: backupPath(parseTuning(conf), at) }),
};

function ofMasquerade({ conf, prefersNft }: Asked, { hash, masquerade }: Marks): Leftovers {
  if (!conf.boolean("ipMasq")) return {};
  if (!usesNft(conf.string("ipMasqBackend"), prefersNft)) {
    return { iptables: { table: "nat", chains: [`CNI-${hash.slice(0, 24)}`] } };
  }
  const isTheirs = (comment: string) => comment.startsWith(`${masquerade},`);
  return { nft: [{ table: "inet cni_plugins_masquerade", isTheirs }] };
}

function ofFirewall({ made, at }: Asked): Leftovers {
  const rules = ownIps(made, at.ifname).map(({ address }) => alone(address)).flatMap((ip) => [
    `-A CNI-FORWARD -d ${ip} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-A CNI-FORWARD -s ${ip} -j ACCEPT`,
  ]);
  return rules.length === 0 ? {} : { iptables: { table: "filter", rules } };
}

function usesNft(backend: string | undefined, prefersNft: boolean): boolean {
  return backend === undefined ? prefersNft : backend === "nftables";
}

function ofSpoofCheck({ conf, at: { containerId, ifname } }: Asked): NonNullable<Leftovers["nft"]> {
  if (!conf.boolean("macspoofchk")) return [];
  const [mark, chain] = [`macspoofchk-${containerId}-${ifname}`, `cni-br-iface-${containerId}-${ifname}`];
  return [{ table: "bridge nat", isTheirs: (comment) => comment === mark, chains: [chain, `${chain}-mac`] }];
}

function ofPorts({ conf, at, prefersNft }: Asked, { hash }: Marks): Leftovers {
  // Without mappings the reference makes nothing, and its DEL does not look either.
  if (!conf.object("runtimeConfig")?.objects("portMappings")?.length) return {};
  if (!usesNft(conf.string("backend"), prefersNft)) {
    // "SN" is of before 0.7.0.
    return { iptables: { table: "nat", chains: ["DN", "SN"].map((of) => `CNI-${of}-${hash.slice(0, 21)}`) } };
  }
  const isTheirs = (comment: string) => comment === at.containerId;
  return { nft: ["ip", "ip6"].map((family) => ({ table: `${family} cni_hostport`, isTheirs })) };
}
