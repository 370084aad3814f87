/** The table of all commands, from which program, help, man pages and completions are made: an entry for each, in one file. */
import { containerOptions, type Option, type OptionValues, toWords } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { agent, agentHelp, agentOptions } from "./agent.ts";
import * as cluster from "./cluster.ts";
import { cni, cniOptions } from "./cni.ts";
import { completion } from "./completion.ts";
import { dockerHelp, dockerOptions, dockerPlugin } from "./docker_plugin.ts";
import { doctor } from "./doctor.ts";
import { down } from "./down.ts";
import { gc } from "./gc.ts";
import { helper, helperHelp, helperOptions } from "./helper.ts";
import { checkStage, hook } from "./hook.ts";
import { hooksJson } from "./hooks_json.ts";
import { inject } from "./inject.ts";
import { installPlugins } from "./install_plugins.ts";
import { inspect } from "./inspect.ts";
import { list } from "./list.ts";
import { map, mapFlags, type Screen } from "./map.ts";
import {
  networkConnect,
  networkCreate,
  networkDisconnect,
  networkInspect,
  networkList,
  networkPrune,
  networkRemove,
} from "./network.ts";
import {
  connectOptions,
  createFlags,
  createOptions,
  disconnectOptions,
  inspectOptions,
  listOptions,
  pruneOptions,
} from "./network_options.ts";
import { netavarkHelp, netavarkPlugin } from "./netavark_plugin.ts";
import { agentUnit } from "./agent_unit.ts";
import { port, portOptions } from "./port.ts";
import { repair } from "./repair.ts";
import type { Report } from "./report.ts";
import { run, runHelp, runOptions } from "./run.ts";
import {
  sessionExec,
  sessionHelp,
  sessionOptions,
  sessionStart,
  sessionStatus,
  sessionStop,
} from "./session.ts";
import { top } from "./top.ts";
import { topicNamed, topicPage } from "./topics.ts";
import { trace, traceHelp } from "./trace.ts";
import { up, upOptions } from "./up.ts";

/** What was typed after a verb. */
export interface Typed {
  /** One for each word of the verb's usage; undefined where it may be left out and was. */
  readonly words: readonly (string | undefined)[];
  readonly given: OptionValues;
  /** Names of the flags that were set. */
  readonly flags: ReadonlySet<string>;
  readonly version: string;
  readonly screen: () => Screen;
  /** All of the standard input. */
  stdin(): Promise<string>;
}

/** A command that people type. */
export interface Verb {
  /** The verb, and after it what it needs, in Commander's notation. */
  readonly usage: string;
  /** The word that comes before it. */
  readonly group?: keyof typeof groups;
  readonly text: string;
  readonly example: string;
  /** What else its help says. */
  readonly more?: string;
  /** One that changes something has --dry-run; all have --log-level, and --json unless they run another program. */
  readonly changes?: boolean;
  /** A program reads its answer, or it goes on until it is ended: it has no --format, --quiet and progress. */
  readonly plain?: boolean;
  /** Its words are another program's, with that one's options. */
  readonly runs?: boolean;
  readonly options?: readonly Option[];
  /** By name, or by a letter and the name: "q, quiet". */
  readonly flags?: Readonly<Record<string, string>>;
  act(world: World, typed: Typed): Promise<Report>;
}

/** Words that have verbs of their own. */
export const groups = {
  cluster: {
    text: "networks over several hosts, which share what they know in etcd",
    example: "ocinet cluster status",
  },
  session: {
    text:
      "an ordinary user's namespaces, in which networks of their own and rootless containers on them work",
    example: "ocinet session exec runc run --detach --bundle web web",
  },
  network: {
    text: "networks as objects: make, list, show and remove them, in Docker's words",
    example: "ocinet network create --subnet 10.5.0.0/24 shop",
  },
} as const;

/** Every command that people type, in the order of their help. */
export const verbs: readonly Verb[] = [
  {
    usage: "hook <stage>",
    plain: true,
    text: "be an OCI hook of a stage: createRuntime, prestart, createContainer, poststop, or auto for all",
    example: "ocinet hook createRuntime --net=default < state.json",
    changes: true,
    options: containerOptions,
    // Reached only with --help or the like: a runtime's call goes past all this (main.ts).
    act: async (world, { words: [stage], given, stdin }) => {
      checkStage(stage);
      await hook(world, [stage!, ...toWords(given)], await stdin());
      return { text: "", json: {} };
    },
  },
  {
    usage: "inject <bundle>",
    text: "make a bundle's config.json call ocinet",
    example: "ocinet inject --net default -p 8080:80 ./bundle",
    changes: true,
    options: containerOptions,
    flags: { remove: "take ocinet out of it again", print: "show the result instead of writing it" },
    act: (world, { words: [bundle], given, flags }) =>
      inject(world, bundle!, {
        ...{ given, remove: flags.has("remove"), print: flags.has("print"), dryRun: flags.has("dry-run") },
      }),
  },
  {
    usage: "hooks-json",
    text: "print a hooks.d file for podman",
    example: "ocinet hooks-json > /usr/share/containers/oci/hooks.d/ocinet.json",
    options: containerOptions,
    flags: { always: "for every container, not just those with an annotation of ours" },
    act: (world, { given, flags }) => hooksJson(world, given, flags.has("always")),
  },
  {
    usage: "up <pid-or-path>",
    text: "attach a network namespace, given by a process in it or by its path",
    example: "ocinet up --net default -p 8080:80 /run/netns/box",
    changes: true,
    options: upOptions,
    act: (world, { words: [target], given }) => up(world, target!, given),
  },
  {
    usage: "run <command...>",
    text: "run a command with a network of its own, which is gone when the command is",
    example: "ocinet run --net default -p 8080:80 -- python3 -m http.server 80",
    more: runHelp,
    runs: true,
    options: runOptions,
    act: (world, { words, given }) => run(world, words as readonly string[], given),
  },
  {
    usage: "port <verb> [id] [ports...]",
    text: "publish ports of a container that runs, or take them away: add, rm, ls",
    example: "ocinet port add web 8443:443",
    changes: true,
    options: portOptions,
    act: (world, { words, given }) => port(world, words.filter((word) => word !== undefined), given),
  },
  {
    usage: "down <ids...>",
    text: "take containers' networks away",
    example: "ocinet down box",
    changes: true,
    act: (world, { words }) => down(world, words as readonly string[]),
  },
  {
    usage: "ls",
    text: "list the containers that are attached",
    example: "ocinet ls --json\n  ocinet ls --format '{{.id}} {{.state}}'",
    flags: { "q, quiet": "print ids only" },
    act: (world, { flags }) => list(world, flags.has("quiet")),
  },
  {
    usage: "map",
    text: "draw networks, containers, published ports and ways to the world",
    example: "ocinet map\n  ocinet map --html > map.html",
    flags: mapFlags,
    act: (world, { flags, screen }) => map(world, flags, screen()),
  },
  {
    usage: "inspect <ids...>",
    text: "show all that is known of containers, as JSON",
    example: "ocinet inspect box | jq '.[0].networks'",
    act: (world, { words }) => inspect(world, words as readonly string[]),
  },
  {
    usage: "gc",
    text: "take away what ended containers left",
    example: "ocinet gc --dry-run",
    changes: true,
    act: (world, { flags }) => gc(world, flags.has("dry-run")),
  },
  {
    usage: "repair <ids...>",
    text: "make again what is missing of containers: links, addresses, rules, settings, programs",
    example: "ocinet repair box",
    changes: true,
    act: (world, { words }) => repair(world, words as readonly string[]),
  },
  {
    group: "network",
    usage: "create <name>",
    text: "make a network, a CNI network list in the directory of networks; prints its id",
    example: "ocinet network create --subnet 10.5.0.0/24 --ipv6 --label shop=eu shop",
    options: createOptions,
    flags: createFlags,
    act: (world, { words: [name], given, flags }) => networkCreate(world, name!, given, flags),
  },
  {
    group: "network",
    usage: "ls",
    text: "list the networks",
    example: "ocinet network ls --filter driver=bridge --format '{{.Name}}'",
    options: listOptions,
    flags: { "q, quiet": "print ids only", "no-trunc": "print whole ids" },
    act: (world, { given, flags }) => networkList(world, given, flags),
  },
  {
    group: "network",
    usage: "inspect <networks...>",
    text: "show all that is known of networks and their containers, as JSON",
    example: "ocinet network inspect shop | jq '.[0].Containers'",
    options: inspectOptions,
    act: (world, { words, given }) => networkInspect(world, words as readonly string[], given),
  },
  {
    group: "network",
    usage: "rm <networks...>",
    text: "remove networks that no container is on",
    example: "ocinet network rm shop",
    flags: { "f, force": "say nothing of networks that are not there" },
    act: (world, { words, flags }) => networkRemove(world, words as readonly string[], flags.has("force")),
  },
  {
    group: "network",
    usage: "prune",
    text: "remove all networks that no container is on; those of stopped containers, too",
    example: "ocinet network prune --filter until=24h",
    options: pruneOptions,
    flags: { "f, force": "is not needed: nothing is asked" },
    act: (world, { given }) => networkPrune(world, given),
  },
  {
    group: "network",
    usage: "connect <network> <container>",
    text: "connect a running container to one more network",
    example: "ocinet network connect --ip 10.5.0.7 --alias api shop web",
    changes: true,
    options: connectOptions,
    act: (world, { words, given }) => networkConnect(world, words as readonly string[], given),
  },
  {
    group: "network",
    usage: "disconnect <network> <container>",
    text: "take a running container off a network",
    example: "ocinet network disconnect shop web",
    changes: true,
    options: disconnectOptions,
    flags: { "f, force": "take down a container that has ended" },
    act: (world, { words, given, flags }) =>
      networkDisconnect(world, words as readonly string[], given, flags.has("force")),
  },
  {
    group: "session",
    usage: "start",
    text: "make the session, and connect it",
    example: "ocinet session start --uplink slirp4netns:cidr=10.9.0.0/24",
    more: sessionHelp,
    options: sessionOptions,
    act: (world, { given }) => sessionStart(world, given),
  },
  {
    group: "session",
    usage: "exec <command...>",
    text: "run a command in the session, as its root; starts it if there is none",
    example: "ocinet session exec runc run --detach --bundle web web\n" +
      "  ocinet session exec ocinet up --net shop -p 8080:80 PID",
    more: sessionHelp,
    runs: true,
    options: sessionOptions,
    act: (world, { words, given }) => sessionExec(world, words as readonly string[], given),
  },
  {
    group: "session",
    usage: "status",
    text: "say whether it runs, with its containers and ports; exit status 1 if it does not",
    example: "ocinet session status --json | jq -r '.containers[].id'",
    act: (world) => sessionStatus(world),
  },
  {
    group: "session",
    usage: "stop",
    text: "end the session, and all that runs in it",
    example: "ocinet session stop",
    act: (world) => sessionStop(world),
  },
  {
    usage: "doctor",
    text: "look whether this machine has all it takes, and say what to do where it has not",
    example: "ocinet doctor",
    act: (world) => doctor(world),
  },
  {
    usage: "trace <container> [target]",
    text: "say hop by hop whether a container reaches a target; exit status 1 if something is wrong",
    example: "ocinet trace web :8080",
    more: traceHelp,
    act: (world, { words: [id, target] }) => trace(world, id!, target),
  },
  {
    usage: "top",
    plain: true,
    text: "show what containers receive and send, the busiest first, until q is typed",
    example: "ocinet top\n  ocinet top --json --interval 5",
    options: [{
      ...{ name: "interval", value: "SECONDS", text: "between measurements (default: 2)" },
      ...{ many: false, annotation: false },
    }],
    flags: { once: "measure once, as where output is no terminal" },
    act: (world, { given, flags, screen }) =>
      top(
        world,
        flags.has("once") || flags.has("json") || !screen().isTerminal,
        given.get("interval")?.at(-1),
      ),
  },
  {
    usage: "helper",
    plain: true,
    text: "serve ordinary users as root: plug their containers into networks, as far as a policy grants",
    example: "sudo ocinet helper",
    more: helperHelp,
    options: helperOptions,
    act: (world, { given }) =>
      helper(world, { policy: given.get("policy")?.at(-1), units: given.get("units")?.at(-1) }),
  },
  {
    usage: "agent",
    plain: true,
    text: "serve calls without the start of a runtime, and overlay networks on this host",
    example: "sudo ocinet agent\n  sudo ocinet agent --page\n  sudo ocinet agent --units /etc/systemd/system",
    more: agentHelp,
    options: agentOptions,
    act: (world, { given }) => {
      const units = given.get("units")?.at(-1);
      return units === undefined
        ? agent(world, given.get("workers")?.at(-1), given.get("page")?.at(-1))
        : Promise.resolve(agentUnit(world, units, given));
    },
  },
  {
    group: "cluster",
    usage: "status",
    text: "say which hosts and networks there are, and what is wrong; exit status 1 if anything is",
    example: "ocinet cluster status --json | jq -r '.problems[]'",
    act: (world) => cluster.status(world),
  },
  {
    group: "cluster",
    usage: "create <network>",
    text: "make an overlay network, which all hosts then have",
    example: "ocinet cluster create --subnet 10.9.0.0/24 --subnet fd00:9::/64 shop",
    options: cluster.createOptions,
    flags: cluster.createFlags,
    act: (world, { words: [name], given, flags }) => cluster.create(world, name!, given, flags),
  },
  {
    group: "cluster",
    usage: "rm <networks...>",
    text: "remove overlay networks that no container uses",
    example: "ocinet cluster rm shop",
    act: (world, { words }) => cluster.remove(world, words as readonly string[]),
  },
  {
    group: "cluster",
    usage: "ls",
    text: "list the overlay networks",
    example: "ocinet cluster ls --json",
    act: (world) => cluster.networks(world),
  },
  {
    group: "cluster",
    usage: "rotate",
    text: "have this host's WireGuard use a new key; connections stay",
    example: "sudo ocinet cluster rotate",
    act: (world) => cluster.rotateKey(world),
  },
  {
    group: "cluster",
    usage: "leave",
    text: "take this host out of the cluster, with its addresses, keys and links; its agent ends",
    example: "sudo ocinet cluster leave",
    flags: { force: "also while containers are on overlay networks, which then lack them" },
    act: (world, { flags }) => cluster.leave(world, flags.has("force")),
  },
  {
    group: "cluster",
    usage: "forget <host>",
    text: "give back the addresses of a host that is gone for good",
    example: "ocinet cluster forget web3",
    act: (world, { words: [name] }) => cluster.forget(world, name!),
  },
  {
    usage: "cni <verb> [network] [netns]",
    text: "be a CNI runtime: add, del, check, gc, status, version; with cnitool's environment",
    example: "ocinet cni add mynet /run/netns/box",
    changes: true,
    options: cniOptions,
    act: (world, { words, given }) => cni(world, words, given),
  },
  {
    usage: "install-plugins <directory>",
    text: "make a file for every CNI plugin type that calls this one",
    example: "ocinet install-plugins /opt/cni/bin",
    changes: true,
    flags: {
      netavark: "make the one file of netavark's plugin in their place",
      remove: "take those files away again",
    },
    act: (world, { words: [directory], flags }) =>
      installPlugins(world, directory!, flags.has("remove"), flags.has("netavark") ? "netavark" : "cni"),
  },
  {
    usage: "netavark-plugin <call> [netns]",
    plain: true,
    text: "be a plugin of netavark's, for podman's networks: info, create, setup, teardown",
    example: "ocinet netavark-plugin setup /run/netns/box < request.json",
    more: netavarkHelp,
    act: (world, { words, version, stdin }) => netavarkPlugin(world, { words, version, stdin }),
  },
  {
    usage: "docker-plugin",
    plain: true,
    text: "serve Docker, as a driver of networks and of addresses",
    example: "sudo ocinet docker-plugin",
    more: dockerHelp,
    options: dockerOptions,
    act: (world, { given }) => dockerPlugin(world, given),
  },
  {
    usage: "completion <shell> [words...]",
    plain: true,
    text: "print what completes commands, options, networks and containers in a shell: bash, zsh, fish",
    example:
      "source <(ocinet completion bash)\n  ocinet completion fish > ~/.config/fish/completions/ocinet.fish",
    runs: true,
    act: (world, { words }) => completion(world, verbs, words as readonly string[]),
  },
  {
    usage: "help <topic>",
    text: "say more of a command or a topic; help topic NAME, where both have the name",
    example: "ocinet help ports\n  ocinet help topic agent",
    // Reached only with a topic (program.ts).
    act: (_, { words: [name], screen }) => {
      const topic = topicNamed(name)!;
      return Promise.resolve({ text: topicPage(topic, exampleOf, screen().columns), json: topic });
    },
  },
  {
    usage: "version",
    text: "print the version",
    example: "ocinet version",
    act: ({ runtime }, { version }) =>
      Promise.resolve({ text: `ocinet ${version}\n`, json: { version, runtime } }),
  },
];

/** The words of a command. */
export function nameOf({ group, usage }: Verb): string {
  return `${group === undefined ? "" : `${group} `}${usage.split(" ")[0]}`;
}

/** The example of a command or of a group of commands, which may have several lines. */
export function exampleOf(name: string): string {
  return (verbs.find((verb) => nameOf(verb) === name) ?? groups[name as keyof typeof groups]).example;
}
