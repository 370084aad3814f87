import type { Option } from "../wire/oci/options.ts";
import { UsageError } from "../wire/oci/options.ts";
import { uplinks } from "../drivers/uplinks/table.ts";
import { loadNetworks } from "../features/networks/networks.ts";
import { containerIds } from "../engine/record.ts";
import { stateDirectory } from "../engine/state.ts";
import type { World } from "../plan/world.ts";
import { outputOptions } from "./help.ts";
import type { Report } from "./report.ts";
import { allTopics } from "./topics.ts";
import type { Verb } from "./verbs.ts";

/** A shell's part: it hands over the words before and under the cursor, and shows what comes, a line each. */
const scripts: Readonly<Record<string, string>> = {
  bash: `_ocinet() {
  local IFS=$'\\n'
  COMPREPLY=($(ocinet completion words "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _ocinet ocinet
`,
  zsh: `#compdef ocinet
_ocinet() {
  local -a found
  found=("\${(@f)$(ocinet completion words "\${(@)words[2,CURRENT]}" 2>/dev/null | sed 's/:/\\\\:/g; s/\\t/:/')}")
  if [[ -n $found ]]; then _describe ocinet found; else _files; fi
}
# zsh loads the file as the function itself when it is on fpath.
if [[ \${funcstack[1]} = _ocinet ]]; then _ocinet "$@"; else compdef _ocinet ocinet; fi
`,
  fish: `function __ocinet
  set -l words (commandline -opc) (commandline -ct)
  ocinet completion words $words[2..-1] 2>/dev/null
end
complete -c ocinet -f -a '(__ocinet)'
complete -c ocinet -n '__fish_seen_subcommand_from inject' -F
`,
};

/** Prints a shell's script, or for \`words\` what may stand in the place of the last word. @throws UsageError for another shell */
export function completion(
  world: World,
  verbs: readonly Verb[],
  [shell, ...words]: readonly string[],
): Promise<Report> {
  if (shell === "words") {
    const found = candidates(world, verbs, words);
    return Promise.resolve({ json: found, text: found.map((line) => `${line.join("\t")}\n`).join("") });
  }
  const script = Object.hasOwn(scripts, shell!) ? scripts[shell!] : undefined;
  if (script === undefined) {
    const known = Object.keys(scripts).join(", ");
    throw new UsageError(`Cannot complete in ${JSON.stringify(shell)}: known shells are ${known}`);
  }
  return Promise.resolve({ json: script, text: script });
}

/** A word, and what it means. */
type Candidate = readonly [word: string, text?: string];

/** What may stand in the place of the last word, by the table that the help is made of. */
export function candidates(
  world: World,
  verbs: readonly Verb[],
  all: readonly string[],
): readonly Candidate[] {
  // bash splits --net=x in three.
  const words = all.filter((word, at) => word !== "=" || at === 0);
  const last = words.at(-1) ?? "";
  const verb = verbs.find(({ group, usage }) => {
    const name = [...group === undefined ? [] : [group], usage.split(" ")[0]!];
    return words.length > name.length && name.every((word, i) => words[i] === word);
  });
  return (verb ? afterVerb(world, verbs, verb, words) : beforeVerb(verbs, words)).filter(([word]) =>
    word.startsWith(last)
  );
}

function beforeVerb(verbs: readonly Verb[], words: readonly string[]): readonly Candidate[] {
  const [first, ...rest] = words;
  const inside = rest.length > 0 ? verbs.filter(({ group }) => group === first) : verbs;
  if (rest.length > 1) return [];
  const own = inside.filter(({ group }) => rest.length > 0 || group === undefined).map((
    { usage, text },
  ): Candidate => [usage.split(" ")[0]!, text]);
  const groups = rest.length > 0
    ? []
    : [...new Set(inside.flatMap(({ group }) => group ?? []))].map((group): Candidate => [group]);
  return [...own, ...groups];
}

function afterVerb(
  world: World,
  verbs: readonly Verb[],
  verb: Verb,
  words: readonly string[],
): readonly Candidate[] {
  const [before, last] = [words.at(-2) ?? "", words.at(-1) ?? ""];
  const options = verb.options ?? [];
  const valued = options.find(({ name, short }) => before === `--${name}` || before === `-${short}`);
  if (valued) return valuesOf(world, valued, last);
  if (last.startsWith("-")) return optionsOf(verb);
  if (verb.usage.startsWith("help ")) return helpedBy(verbs, words.slice(1));
  return argumentsOf(world, verb, before);
}

/** What `help` takes: commands and topics. */
function helpedBy(verbs: readonly Verb[], words: readonly string[]): readonly Candidate[] {
  const topics = allTopics().map(({ name, text }): Candidate => [name, text]);
  if (words.length === 2 && words[0] === "topic") return topics;
  return [...beforeVerb(verbs, words), ...words.length > 1 ? [] : topics];
}

function optionsOf(verb: Verb): readonly Candidate[] {
  return [
    ...(verb.options ?? []).map(({ name, text }): Candidate => [`--${name}`, text]),
    ...Object.entries(verb.flags ?? {}).map((
      [name, text],
    ): Candidate => [`--${name.replace(/^., /, "")}`, text]),
    ...outputOptions(verb).map(([words, text]): Candidate => [words.split(" ")[0]!, text]),
    ["--help"],
  ];
}

function valuesOf(world: World, { name }: Option, last: string): readonly Candidate[] {
  const known: Readonly<Record<string, () => readonly string[]>> = {
    net: () => ["host", "none", "all", ...networkNames(world)],
    uplink: () => uplinks.map(({ name }) => name),
    "port-driver": () => ["uplink", "relay"],
    "proxy-protocol": () => ["v1", "v2"],
    affinity: () => ["client", "none"],
    dns: () => ["host", "none"],
    "hosts-entry": () => ["host"],
    egress: () => ["none"],
  };
  // Of a list, what stands before the last comma stays.
  const kept = last.slice(0, last.lastIndexOf(",") + 1);
  return (Object.hasOwn(known, name) ? known[name]!() : []).map((value) => [kept + value]);
}

function argumentsOf(world: World, { usage }: Verb, before: string): readonly Candidate[] {
  const [verb] = usage.split(" ");
  if (/\bids\.\.\.|^trace /.test(usage) || (verb === "port" && ["add", "rm", "ls"].includes(before))) {
    return containerIds(world, stateDirectory(world)).map((id) => [id]);
  }
  if (/^[a-z]+ <networks?\b/.test(usage)) {
    const isFirst = before === verb || usage.includes("...");
    return (isFirst ? networkNames(world) : containerIds(world, stateDirectory(world))).map((name) => [name]);
  }
  if (verb === "port" && before === "port") return ["add", "rm", "ls"].map((word) => [word]);
  if (verb === "hook") return ["createRuntime", "poststop", "auto"].map((stage) => [stage]);
  if (verb === "completion") return Object.keys(scripts).map((shell) => [shell]);
  if (verb === "cni" && before === "cni") {
    return ["add", "del", "check", "gc", "status"].map((word) => [word]);
  }
  if (verb === "up") return world.list("/run/netns").map((name) => [`/run/netns/${name}`]);
  return [];
}

function networkNames(world: World): readonly string[] {
  // A file that cannot be read is told when it is used.
  return loadNetworks({ ...world, warn: () => {} }, []).map(({ list }) => list.name);
}
