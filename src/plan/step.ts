import { isResource, type Resource, resourceKey } from "./resource.ts";

/** Where a step acts: in the namespace of ocinet itself, or in the container's. */
export type Place = "host" | "container";

/**
 * What a failed step means. `fail`: the plan fails. `ignore`: nothing. `ignore-exists`: nothing if the thing exists
 * already.
 */
export type OnError = "fail" | "ignore" | "ignore-exists";

/** The fields of every step. */
interface Common {
  readonly on: Place;
  /** The thing that the step makes, sets or removes. */
  readonly id: Resource;
  /** The step removes the thing. */
  readonly removes?: true;
  /** Default: "fail". */
  readonly onError?: OnError;
  /**
   * What undoes the step. `owner` (default): undoing the record. `gc`: only garbage collection, because other
   * containers may use the thing.
   */
  readonly undoBy?: "owner" | "gc";
  /** The step only has an undo. It is undone even if the plan failed before reaching it. */
  readonly undoAlways?: true;
  /** A guard: it is in place before any link is made, and until the links are gone. */
  readonly before?: true;
}

/** One line in the words of the tool that makes the change. `undo` reverts exactly that change. */
export interface Line extends Common {
  readonly tool: "ip" | "bridge" | "nft" | "tc";
  readonly run: string;
  readonly undo?: string;
}

/** Writes one sysctl. `key` is a path below /proc/sys, because link names may contain dots. */
export interface Sysctl extends Common {
  readonly tool: "sysctl";
  readonly key: string;
  readonly value: string;
  /** The value to restore, if the sysctl still has ours. Absent if the sysctl ends with the namespace or is shared. */
  readonly undo?: string;
}

/** Reserves a name for an owner by creating a file. Only a file with that content is ever removed. */
export interface Claim extends Common {
  readonly tool: "claim";
  readonly on: "host";
  readonly path: string;
  readonly owner: string;
}

/** Runs a program. `run` or `undo` may be absent. */
export interface Exec extends Common {
  readonly tool: "exec";
  readonly run?: readonly string[];
  readonly undo?: readonly string[];
  /** The text to show to users in place of a script. */
  readonly shows?: string;
}

/**
 * Starts a program that keeps running after ocinet exits. `run` returns once it is ready. `pidFile` has one pid a line:
 * first the leader of the program's process group, then the program.
 */
export interface Spawn extends Common {
  readonly tool: "spawn";
  readonly on: "host";
  readonly run: readonly string[];
  /** The command line to start it again, if it differs: `run` may enter a process that has ended since. */
  readonly again?: readonly string[];
  /** The program's name in `run`. The words before it only start it. */
  readonly name: string;
  readonly pidFile: string;
  /** A word in the command lines of these processes. A pid whose command line lacks it belongs to another program. */
  readonly cmdlineMarker: string;
  /** The program must clean up: it gets SIGTERM first, and SIGKILL only if it does not end. */
  readonly gracefulStop?: boolean;
  /** Ending it removes no link and no link's settings. */
  readonly keepsLinks?: boolean;
  /** Files and directories that the program makes and does not remove. */
  readonly cleanupPaths: readonly string[];
}

/**
 * Sends a request to a socket: to slirp4netns or our relay for a port (hostfwd.ts), which is forgotten when they end;
 * or to the privileged helper. `run` or `undo` may be absent.
 */
export interface Send extends Common {
  readonly tool: "send";
  readonly on: "host";
  readonly socket: string;
  readonly run?: string;
  readonly undo?: string;
}

/**
 * Deletes conntrack's UDP flows to a host port. A flow outlives the rule that made it, so a client would still be
 * forwarded to an address that is gone. The undo does the same.
 */
export interface Flows extends Common {
  readonly tool: "conntrack";
  readonly on: "host";
  /** "53", or a range: "5000-5999". */
  readonly port: string;
  /** Only flows to this address of the host. */
  readonly address?: string;
}

/**
 * Calls a method of a plugin by Docker's protocol. `run` and `undo` are the method, a blank and its JSON; either may be
 * absent. The plugin is found anew each time, because it may have been moved.
 */
export interface Call extends Common {
  readonly tool: "call";
  readonly on: "host";
  readonly plugin: string;
  readonly run?: string;
  readonly undo?: string;
}

/** A change to a system. */
export type Step = Line | Sysctl | Claim | Exec | Spawn | Send | Flows | Call;

/** A key that is equal for steps about the same thing. */
export function stepKey({ on, id }: Pick<Step, "on" | "id">): string {
  return `${on} ${resourceKey(id)}`;
}

/** Makes a line for a tool. */
export function line(
  tool: Line["tool"],
  on: Place,
  id: Resource,
  run: string,
  more: Partial<Pick<Line, "undo" | "onError" | "undoBy" | "undoAlways" | "before" | "removes">> = {},
): Line {
  return { tool, on, id, run, ...more };
}

/** Sets a sysctl. */
export function setSysctl(
  on: Place,
  key: string,
  value: string,
  more: Partial<Pick<Sysctl, "undo" | "onError" | "undoBy">> = {},
): Sysctl {
  return { tool: "sysctl", on, id: { kind: "sysctl", key }, key, value, ...more };
}

/** Makes a file that records the owner of a name. */
export function claim(path: string, owner: string): Claim {
  return { tool: "claim", on: "host", id: { kind: "file", path }, path, owner };
}

/** Runs a program. @param what a few words that describe it and are unique among the programs of a container */
export function exec(
  on: Place,
  what: string,
  { id, ...rest }: Partial<Pick<Exec, "run" | "undo" | "shows" | "onError" | "id" | "removes">>,
): Exec {
  return { tool: "exec", on, id: id ?? { kind: "command", what }, ...rest };
}

/** Sends a request to a socket. @param key is unique among the requests to the same socket */
export function send(socket: string, key: string, words: Pick<Send, "run" | "undo">): Send {
  return { tool: "send", on: "host", id: { kind: "request", socket, key }, socket, ...words };
}

/** Calls a plugin of Docker's. @param key is unique among the calls to the same plugin */
export function call(plugin: string, key: string, words: Pick<Call, "run" | "undo">): Call {
  return { tool: "call", on: "host", id: { kind: "request", socket: plugin, key }, plugin, ...words };
}

/** Deletes UDP flows. */
export function endFlowsTo(port: string, address?: string): Flows {
  const target = { port, ...(address === undefined ? {} : { address }) };
  return { tool: "conntrack", on: "host", id: { kind: "flows", ...target }, ...target };
}

/** The required and optional fields of a step, by tool: a text, or a list of words. */
const shapes: Readonly<Record<Step["tool"], Readonly<Record<string, "text" | "words">>>> = {
  ...{ ip: { run: "text" }, bridge: { run: "text" }, nft: { run: "text" }, tc: { run: "text" } },
  ...{ sysctl: { key: "text", value: "text" }, claim: { path: "text", owner: "text" }, exec: {} },
  spawn: { run: "words", name: "text", pidFile: "text", cmdlineMarker: "text", cleanupPaths: "words" },
  send: { socket: "text" },
  conntrack: { port: "text" },
  call: { plugin: "text" },
};

/** Whether a value read from a file is a valid step; the file may be damaged. */
export function isStep(value: unknown): value is Step {
  const step = value as Readonly<Record<string, unknown>> | null;
  if (typeof step !== "object" || step === null || !["host", "container"].includes(String(step["on"]))) {
    return false;
  }
  if (!Object.hasOwn(shapes, String(step["tool"])) || !isResource(step["id"])) return false;
  const tool = step["tool"] as Step["tool"];
  const may = tool === "exec"
    ? { run: "words", undo: "words" } as const
    : tool === "send" || tool === "call"
    ? { run: "text", undo: "text" } as const
    : { undo: "text", again: "words", address: "text" } as const;
  return Object.entries(shapes[tool]).every(([key, kind]) => isOf(kind, step[key])) &&
    Object.entries(may).every(([key, kind]) => step[key] === undefined || isOf(kind, step[key]));
}

function isOf(kind: "text" | "words", value: unknown): boolean {
  if (kind === "text") return typeof value === "string";
  return Array.isArray(value) && value.every((word) => typeof word === "string");
}

/** A value for a hole in `words`. */
export type Hole = string | number;

/**
 * One line for `ip`, `nft` or `tc` in which every hole is one plain word.
 * @throws Error for a word that could end the line, quote, or be read as several words or an option
 */
export function words(text: TemplateStringsArray, ...holes: readonly Hole[]): string {
  return text.reduce((line, part, i) => line + word(holes[i - 1]!) + part);
}

function word(hole: Hole): string {
  const value = String(hole);
  // "@" is excluded: nft reads it as a set, ip as the link below. "%" is excluded: the kernel replaces it by a number.
  if (!/^[A-Za-z0-9_.:/+-]+$/.test(value) || value.startsWith("-")) {
    throw new Error(`Cannot use ${JSON.stringify(value)} in a command: it is not one plain word`);
  }
  return value;
}

/** The command that deletes the UDP flows to a host port. */
export function deletion({ port, address }: Pick<Flows, "port" | "address">): readonly string[] {
  const to = address === undefined ? [] : ["--orig-dst", address];
  return ["conntrack", "-D", "-p", "udp", ...to, "--orig-port-dst", port];
}

/** The steps as text, one a line. Container steps are marked, undo lines left out. */
export function show(steps: readonly Step[]): string {
  return steps.map(showStep).join("\n");
}

function showStep(step: Step): string {
  const place = step.on === "container" ? "container: " : "";
  switch (step.tool) {
    case "ip":
    case "bridge":
    case "nft":
    case "tc":
      return `${place}${step.tool} ${step.run}`;
    case "sysctl":
      return `${place}sysctl -w ${step.key}=${step.value}`;
    case "claim":
      return `claim ${step.path}`;
    case "exec":
      return step.run
        ? `${place}${step.shows ?? step.run.join(" ")}`
        : `${place}at the end: ${step.shows ?? step.undo?.join(" ")}`;
    case "spawn":
      return step.run.slice(step.run.indexOf(step.name)).join(" ");
    case "send":
      return step.run === undefined
        ? `at the end: send ${step.socket} ${step.undo}`
        : `send ${step.socket} ${step.run}`;
    case "conntrack":
      return deletion(step).join(" ");
    case "call":
      return step.run === undefined
        ? `at the end: plugin ${step.plugin} ${step.undo}`
        : `plugin ${step.plugin} ${step.run}`;
  }
}

/** Appends steps, of which there may be more than a call takes arguments: a range of ports has two for each. */
export function append<T>(list: T[], more: readonly T[]): void {
  for (const one of more) list.push(one);
}
