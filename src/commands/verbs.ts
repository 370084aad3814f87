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
  /** It has --format although it is plain. */
  readonly formats?: boolean;
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
    text: "networks over several hosts, which share their state in etcd",
    example: "ocinet cluster status",
  },
  session: {
    text:
      "namespaces of an ordinary user, in which all types of networks work, and rootless containers on them",
    example: "ocinet session exec runc run --detach --bundle web web",
  },
  network: {
    text: "create, list, show and remove networks, as with docker network",
    example: "ocinet network create --subnet 10.5.0.0/24 shop",
  },
} as const;

/** Every command that people type, in the order of their help. */
export const verbs: readonly Verb[] = [
  {
    usage: "hook <stage>",
    plain: true,
    text:
      "act as an OCI hook of a stage: createRuntime, prestart, createContainer, poststop, or auto for all",
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
    text: "add ocinet's hooks to a bundle's config.json",
    example: "ocinet inject --net default -p 8080:80 ./bundle",
    changes: true,
    options: containerOptions,
    flags: { remove: "remove ocinet's hooks again", print: "print the result instead of writing it" },
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
    flags: { always: "for every container, not only those with an annotation org.ocinet.…" },
    act: (world, { given, flags }) => hooksJson(world, given, flags.has("always")),
  },
  {
    usage: "up <pid-or-path>",
    text: "attach a network namespace, given by its name, its path or the pid of a process in it",
    example: "ocinet up --net default -p 8080:80 /run/netns/box",
    changes: true,
    options: upOptions,
    act: (world, { words: [target], given }) => up(world, target!, given),
  },
  {
    usage: "run <command...>",
    text: "run a command with a network of its own, which is removed when the command ends",
    example: "ocinet run --net default -p 8080:80 -- python3 -m http.server 80",
    more: runHelp,
    runs: true,
    options: runOptions,
    act: (world, { words, given }) => run(world, words as readonly string[], given),
  },
  {
    usage: "port <command> [id] [ports...]",
    text: "publish ports of a running container, or close them: add, rm, ls",
    example: "ocinet port add web 8443:443",
    changes: true,
    options: portOptions,
    act: (world, { words, given }) => port(world, words.filter((word) => word !== undefined), given),
  },
  {
    usage: "down <ids...>",
    text: "remove containers' networks",
    example: "ocinet down box",
    changes: true,
    act: (world, { words }) => down(world, words as readonly string[]),
  },
  {
    usage: "ls",
    text: "list the attached containers",
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
    text: "show everything about containers, as JSON",
    example: "ocinet inspect box | jq '.[0].networks'",
    act: (world, { words }) => inspect(world, words as readonly string[]),
  },
  {
    usage: "gc",
    text: "remove what ended containers have left behind",
    example: "ocinet gc --dry-run",
    changes: true,
    act: (world, { flags }) => gc(world, flags.has("dry-run")),
  },
  {
    usage: "repair [ids...]",
    text: "restore missing parts of containers' networks: links, addresses, rules, settings, programs",
    example: "ocinet repair box\n  ocinet repair --all",
    changes: true,
    flags: { "a, all": "every container" },
    act: (world, { words, flags }) => repair(world, words as readonly string[], flags.has("all")),
  },
  {
    group: "network",
    usage: "create <name>",
    text: "make a network, as a CNI network list in the directory of networks; print its id",
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
    text: "show everything about networks and their containers, as JSON",
    example: "ocinet network inspect shop | jq '.[0].Containers'",
    options: inspectOptions,
    act: (world, { words, given }) => networkInspect(world, words as readonly string[], given),
  },
  {
    group: "network",
    usage: "rm <networks...>",
    text: "remove networks that no container is on",
    example: "ocinet network rm shop",
    flags: { "f, force": "ignore networks that do not exist" },
    act: (world, { words, flags }) => networkRemove(world, words as readonly string[], flags.has("force")),
  },
  {
    group: "network",
    usage: "prune",
    text: "remove all networks that no running container is on",
    example: "ocinet network prune --filter until=24h",
    options: pruneOptions,
    flags: { "f, force": "has no effect: prune never asks" },
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
    text: "disconnect a running container from a network",
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
    text: "start the session, and connect it",
    example: "ocinet session start --uplink slirp4netns:cidr=10.9.0.0/24",
    more: sessionHelp,
    options: sessionOptions,
    act: (world, { given }) => sessionStart(world, given),
  },
  {
    group: "session",
    usage: "exec <command...>",
    text: "run a command in the session as its root user; start the session if none runs",
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
    text: "show whether the session runs, and its containers and ports; exit status 1 if none runs",
    example: "ocinet session status --json | jq -r '.containers[].id'",
    act: (world) => sessionStatus(world),
  },
  {
    group: "session",
    usage: "stop",
    text: "end the session and everything that runs in it",
    example: "ocinet session stop",
    act: (world) => sessionStop(world),
  },
  {
    usage: "doctor",
    text: "check what this machine lacks, and print a remedy for each",
    example: "ocinet doctor",
    act: (world) => doctor(world),
  },
  {
    usage: "trace <container> [target]",
    text: "check hop by hop whether a container reaches a target; exit status 1 if a hop is wrong",
    example: "ocinet trace web :8080",
    more: traceHelp,
    act: (world, { words: [id, target] }) => trace(world, id!, target),
  },
  {
    usage: "top",
    plain: true,
    formats: true,
    text: "show how much containers receive and send, the busiest first, until q is typed",
    example: "ocinet top\n  ocinet top --json --interval 5",
    options: [{
      ...{ name: "interval", value: "SECONDS", text: "time between measurements (default: 2)" },
      ...{ many: false, annotation: false },
    }],
    flags: { once: "measure once; the default if the output is no terminal" },
    act: (world, { given, flags, screen }) =>
      top(
        world,
        ["once", "json", "format"].some((flag) => flags.has(flag)) || !screen().isTerminal,
        given.get("interval")?.at(-1),
      ),
  },
  {
    usage: "helper",
    plain: true,
    text: "serve ordinary users as root: connect their containers to networks, as a policy file allows",
    example: "sudo ocinet helper",
    more: helperHelp,
    options: helperOptions,
    act: (world, { given }) =>
      helper(world, { policy: given.get("policy")?.at(-1), units: given.get("units")?.at(-1) }),
  },
  {
    usage: "agent",
    plain: true,
    text: "serve calls without starting a runtime for each, and overlay networks on this host",
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
    text: "show hosts and networks, and what is wrong; exit status 1 if anything is",
    example: "ocinet cluster status --json | jq -r '.problems[]'",
    act: (world) => cluster.status(world),
  },
  {
    group: "cluster",
    usage: "create <network>",
    text: "make an overlay network on all hosts",
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
    text: "give this host a new WireGuard key; connections continue",
    example: "sudo ocinet cluster rotate",
    act: (world) => cluster.rotateKey(world),
  },
  {
    group: "cluster",
    usage: "leave",
    text: "remove this host from the cluster, with its addresses, keys and links; its agent ends",
    example: "sudo ocinet cluster leave",
    flags: { force: "also while containers are on overlay networks, which they then lose" },
    act: (world, { flags }) => cluster.leave(world, flags.has("force")),
  },
  {
    group: "cluster",
    usage: "forget <host>",
    text: "release the addresses of a host that will not come back",
    example: "ocinet cluster forget web3",
    act: (world, { words: [name] }) => cluster.forget(world, name!),
  },
  {
    group: "cluster",
    usage: "drain [ids...]",
    text: "have members of services on this host get no new connections; those that are open stay",
    example: "sudo ocinet cluster drain --all",
    options: cluster.drainOptions,
    flags: { "a, all": "all members on this host" },
    act: (world, { words, ...typed }) => cluster.drain(world, words as readonly string[], typed, true),
  },
  {
    group: "cluster",
    usage: "undrain [ids...]",
    text: "have members that were drained get new connections again",
    example: "sudo ocinet cluster undrain --all",
    options: cluster.drainOptions,
    flags: { "a, all": "all members on this host" },
    act: (world, { words, ...typed }) => cluster.drain(world, words as readonly string[], typed, false),
  },
  {
    usage: "cni <command> [network] [netns]",
    text: "act as a CNI runtime: add, del, check, gc, status, version; reads cnitool's environment",
    example: "ocinet cni add mynet /run/netns/box",
    changes: true,
    options: cniOptions,
    act: (world, { words, given }) => cni(world, words, given),
  },
  {
    usage: "install-plugins <directory>",
    text: "install CNI plugins: a file for each type, which calls this ocinet",
    example: "ocinet install-plugins /opt/cni/bin",
    changes: true,
    flags: {
      netavark: "make the file of the netavark plugin instead",
      remove: "remove these files",
    },
    act: (world, { words: [directory], flags }) =>
      installPlugins(world, directory!, flags.has("remove"), flags.has("netavark") ? "netavark" : "cni"),
  },
  {
    usage: "netavark-plugin <call> [netns]",
    plain: true,
    text: "act as a netavark plugin, for podman's networks: info, create, setup, teardown",
    example: "ocinet netavark-plugin setup /run/netns/box < request.json",
    more: netavarkHelp,
    act: (world, { words, version, stdin }) => netavarkPlugin(world, { words, version, stdin }),
  },
  {
    usage: "docker-plugin",
    plain: true,
    text: "serve Docker as a network driver and an IPAM driver",
    example: "sudo ocinet docker-plugin",
    more: dockerHelp,
    options: dockerOptions,
    act: (world, { given }) => dockerPlugin(world, given),
  },
  {
    usage: "completion <shell> [words...]",
    plain: true,
    text:
      "print a script with which a shell completes commands, options, networks and containers: bash, zsh, fish",
    example:
      "source <(ocinet completion bash)\n  ocinet completion fish > ~/.config/fish/completions/ocinet.fish",
    runs: true,
    act: (world, { words }) => completion(world, verbs, words as readonly string[]),
  },
  {
    usage: "help <topic>",
    text: "show help on a command or a topic; help topic NAME if both have the name",
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
