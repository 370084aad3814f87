/** The languages of `tc` and `bridge`, as far as ocinet uses them. */
import { BadWord } from "./ip.ts";
import { type FakeLink, linkNamed, type Namespace, Refusal } from "./kernel.ts";

function wordAfter(words: readonly string[], key: string): string {
  return words[words.indexOf(key) + 1] ?? "";
}

function linkOf(namespace: Namespace, words: readonly string[], what: string): FakeLink {
  const name = wordAfter(words, "dev");
  const link = linkNamed(namespace, name);
  if (!link) throw new Refusal(`Cannot find ${what} "${name}"`);
  return link;
}

/** Runs a command of `tc`. @returns its output */
export function runTc(namespace: Namespace, words: readonly string[]): string {
  const [object, verb] = words;
  const link = linkOf(namespace, words, "device");
  const parent = words.includes("ingress") ? "ingress" : "root";
  switch (`${object} ${verb}`) {
    case "qdisc add":
      if (link.queues[parent] !== undefined) throw new Refusal("Error: Exclusivity flag on, cannot modify.");
      link.queues[parent] = words.slice(4).join(" ");
      return "";
    case "qdisc del":
      if (link.queues[parent] === undefined) {
        const why = parent === "root" ? "Cannot delete qdisc with handle of zero." : "Invalid handle.";
        throw new Refusal(`Error: ${why}`);
      }
      delete link.queues[parent];
      if (parent === "ingress") link.filters = [];
      return "";
    case "filter add":
      if (link.queues["ingress"] === undefined) throw new Refusal("Error: Parent Qdisc doesn't exists.");
      link.filters.push(words.slice(4).join(" "));
      return "";
    case "filter del": {
      const filter = words.slice(4).join(" ");
      const left = link.filters.filter((one) => !one.startsWith(filter));
      if (left.length === link.filters.length) {
        throw new Refusal("Error: Cannot find specified filter chain.");
      }
      link.filters = left;
      return "";
    }
    case "qdisc show":
    case "filter show":
      return "[]\n";
    default:
      throw new BadWord(`Object "${object}" is unknown, try "tc help".`);
  }
}

/** Runs a command of `bridge`. @returns its output */
export function runBridge(namespace: Namespace, words: readonly string[]): string {
  const [object, verb] = words;
  const link = linkOf(namespace, words, "bridge device");
  const id = wordAfter(words, "vid");
  switch (`${object} ${verb}`) {
    case "vlan add":
      link.vlans[id] = words.slice(words.indexOf("vid") + 2).join(" ");
      return "";
    case "vlan del":
      delete link.vlans[id];
      return "";
    case "vlan show":
      return `${JSON.stringify([{ ifname: link.name, vlans: vlanRows(link) }])}\n`;
    default:
      throw new BadWord(`Object "${object}" is unknown, try "bridge help".`);
  }
}

function vlanRows({ vlans }: FakeLink): readonly Readonly<Record<string, number>>[] {
  return Object.keys(vlans).map((range) => {
    const [vlan, vlanEnd = vlan] = range.split("-").map(Number) as [number, number?];
    return { vlan, vlanEnd };
  });
}
