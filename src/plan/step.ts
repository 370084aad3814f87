import { isResource, type Resource, resourceKey } from "./resource.ts";

/** Where a step acts: in the namespace the caller lives in, or in the container's. */
export type Place = "host" | "container";

/** What a failure of a step means: it fails the plan, or nothing at all, or nothing where the thing is there already. */
export type OnError = "fail" | "ignore" | "ignore-exists";

/** What every step has. */
interface Common {
  readonly on: Place;
  /** The thing that the step makes, sets, or takes away. */
  readonly id: Resource;
  /** The step takes the thing away. */
  readonly removes?: true;
  /** "fail", unless it is said. */
  readonly onError?: OnError;
  /** Who undoes it: the record's owner, unless it is said; `gc` where others may have come to need it. */
  readonly undoBy?: "owner" | "gc";
  /** It does nothing but to be undone: also when a plan failed before it was its turn. */
  readonly undoAlways?: true;
  /** A guard: it is there before any link is, and until the links are gone. */
  readonly before?: true;
}

/** One line in the words of the tool that makes the change; `undo` takes back just that change. */
export interface Line extends Common {
  readonly tool: "ip" | "bridge" | "nft" | "tc";
  readonly run: string;
  readonly undo?: string;
}

/** Writes one sysctl; `key` is a path below /proc/sys, so that dots in link names survive. */
export interface Sysctl extends Common {
  readonly tool: "sysctl";
  readonly key: string;
  readonly value: string;
  /**
   * The value to put back, if it is still ours that is there; absent where the setting ends with the namespace, or is
   * shared.
   */
  readonly undo?: string;
}

/** Reserves a name for an owner by making a file; only a file with that content is ever removed. */
export interface Claim extends Common {
  readonly tool: "claim";
  readonly on: "host";
  readonly path: string;
  readonly owner: string;
}

/** Runs a program; either half may be absent. */
export interface Exec extends Common {
  readonly tool: "exec";
  readonly run?: readonly string[];
  readonly undo?: readonly string[];
  /** What a person is shown in place of a script. */
  readonly shows?: string;
}

/**
 * Starts a program that outlives us; `run` returns once it is ready. In `pidFile` are pids, a line each: that of the
 * leader of the process group that it is in, then the program's.
 */
export interface Spawn extends Common {
  readonly tool: "spawn";
  readonly on: "host";
  readonly run: readonly string[];
  /** What starts it another time, if not the same: `run` may go through a process that has ended since. */
  readonly again?: readonly string[];
  /** The program's name in `run`: the words before it only serve to start it. */
  readonly name: string;
  readonly pidFile: string;
  /** A word of the processes' command lines: a pid whose command line lacks it is another program's. */
  readonly cmdlineMarker: string;
  /** It has something to do before it ends, so it is asked to, and killed only if it does not. */
  readonly gracefulStop?: boolean;
  /** No link goes with it, nor what was done to links. */
  readonly keepsLinks?: boolean;
  /** Files and directories that it makes and does not remove. */
  readonly cleanupPaths: readonly string[];
}

/**
 * Asks a service's socket: slirp4netns's or our relay's for a port (hostfwd.ts), which both forget by dying; or the
 * privileged helper. Either half may be absent.
 */
export interface Send extends Common {
  readonly tool: "send";
  readonly on: "host";
  readonly socket: string;
  readonly run?: string;
  readonly undo?: string;
}

/**
 * Ends the flows of UDP to a port of the host's, which outlive the rules that they were led by: without that a client
 * goes on being led to an address that is gone. Undoing it does the same.
 */
export interface Flows extends Common {
  readonly tool: "conntrack";
  readonly on: "host";
  readonly port: string;
  /** Only those to this address of the host's. */
  readonly address?: string;
}

/** What can be done to a system. */
export type Step = Line | Sysctl | Claim | Exec | Spawn | Send | Flows;

/** A text by which two steps can be told to be about the same thing. */
export function stepKey({ on, id }: Pick<Step, "on" | "id">): string {
  return `${on} ${resourceKey(id)}`;
}

/** Makes a line of a tool. */
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

/** Makes a file that says whose a name is. */
export function claim(path: string, owner: string): Claim {
  return { tool: "claim", on: "host", id: { kind: "file", path }, path, owner };
}

/**
 * Runs a program.
 * @param what names in a few words what it does, and tells it from other programs' runs for one container
 */
export function exec(
  on: Place,
  what: string,
  { id, ...rest }: Partial<Pick<Exec, "run" | "undo" | "shows" | "onError" | "id" | "removes">>,
): Exec {
  return { tool: "exec", on, id: id ?? { kind: "command", what }, ...rest };
}

/** Asks a socket. @param key tells the request from others through the same socket */
export function send(socket: string, key: string, words: Pick<Send, "run" | "undo">): Send {
  return { tool: "send", on: "host", id: { kind: "request", socket, key }, socket, ...words };
}

/** Ends flows of UDP. */
export function endFlowsTo(port: string, address?: string): Flows {
  const target = { port, ...(address === undefined ? {} : { address }) };
  return { tool: "conntrack", on: "host", id: { kind: "flows", ...target }, ...target };
}

/** What has to be there in a step of each tool, and what may be: a text, or a list of words. */
const shapes: Readonly<Record<Step["tool"], Readonly<Record<string, "text" | "words">>>> = {
  ...{ ip: { run: "text" }, bridge: { run: "text" }, nft: { run: "text" }, tc: { run: "text" } },
  ...{ sysctl: { key: "text", value: "text" }, claim: { path: "text", owner: "text" }, exec: {} },
  spawn: { run: "words", name: "text", pidFile: "text", cmdlineMarker: "text", cleanupPaths: "words" },
  send: { socket: "text" },
  conntrack: { port: "text" },
};

/** Whether a value that was read is a step: a file may be damaged. */
export function isStep(value: unknown): value is Step {
  const step = value as Readonly<Record<string, unknown>> | null;
  if (typeof step !== "object" || step === null || !["host", "container"].includes(String(step["on"]))) {
    return false;
  }
  if (!Object.hasOwn(shapes, String(step["tool"])) || !isResource(step["id"])) return false;
  const tool = step["tool"] as Step["tool"];
  const may = tool === "exec"
    ? { run: "words", undo: "words" } as const
    : tool === "send"
    ? { run: "text", undo: "text" } as const
    : { undo: "text", again: "words", address: "text" } as const;
  return Object.entries(shapes[tool]).every(([key, kind]) => isOf(kind, step[key])) &&
    Object.entries(may).every(([key, kind]) => step[key] === undefined || isOf(kind, step[key]));
}

function isOf(kind: "text" | "words", value: unknown): boolean {
  if (kind === "text") return typeof value === "string";
  return Array.isArray(value) && value.every((word) => typeof word === "string");
}

/** A value for a hole of `words`. */
export type Hole = string | number;

/**
 * One line for `ip`, `nft` or `tc` in which every hole is one plain word.
 * @throws Error for a word that could end the line, quote, or be read as several words or an option.
 */
export function words(text: TemplateStringsArray, ...holes: readonly Hole[]): string {
  return text.reduce((line, part, i) => line + word(holes[i - 1]!) + part);
}

function word(hole: Hole): string {
  const value = String(hole);
  // Without "@", by which nft names a set and ip the link below, and "%", of which the kernel makes a number.
  if (!/^[A-Za-z0-9_.:/+-]+$/.test(value) || value.startsWith("-")) {
    throw new Error(`Cannot use ${JSON.stringify(value)} in a command: it is not one plain word`);
  }
  return value;
}

/** The command that ends flows of UDP to a port of the host's. */
export function deletion({ port, address }: Pick<Flows, "port" | "address">): readonly string[] {
  const to = address === undefined ? [] : ["--orig-dst", address];
  return ["conntrack", "-D", "-p", "udp", ...to, "--orig-port-dst", port];
}

/** The steps as a person reads them, one a line: container steps are marked, undo lines left out. */
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
        : `${place}at the end: ${step.undo?.join(" ")}`;
    case "spawn":
      return step.run.slice(step.run.indexOf(step.name)).join(" ");
    case "send":
      return step.run === undefined
        ? `at the end: send ${step.socket} ${step.undo}`
        : `send ${step.socket} ${step.run}`;
    case "conntrack":
      return deletion(step).join(" ");
  }
}
