/** Where a step acts: in the namespace the caller lives in, or in the container's. */
export type Place = "host" | "container";

/** One line in the words of the tool that makes the change; `undo` takes back just that change. */
export interface Line {
  readonly tool: "ip" | "bridge" | "nft" | "tc";
  readonly on: Place;
  readonly run: string;
  readonly undo?: string;
  /** The thing may be there already, made by another attachment of the same moment. */
  readonly shared?: boolean;
  /** The rest holds without it, as where the kernel has IPv6 off on a link. */
  readonly optional?: boolean;
  /** It keeps a link from what that may not do: there before the link is, and until it is gone. */
  readonly guards?: boolean;
  /** Others come to need it, on a link that stays: `gc` takes it back, and not whoever made it. */
  readonly lasting?: boolean;
}

/** Writes one sysctl; `key` is a path below /proc/sys, so that dots in link names survive. */
export interface Sysctl {
  readonly tool: "sysctl";
  readonly on: Place;
  readonly key: string;
  readonly value: string;
  /** The kernel may lack the setting, as it does all of IPv6's when that is off. */
  readonly optional?: boolean;
  /**
   * The value to put back, if it is still ours that is there; absent when the namespace takes it to the grave or the
   * setting is shared.
   */
  readonly undo?: string;
  /** Others come to need it, on a link that stays: `gc` puts back what was there, and not whoever changed it. */
  readonly lasting?: boolean;
}

/** Reserves a name for an owner by making a file; only a file with that content is ever removed. */
export interface Claim {
  readonly tool: "claim";
  readonly on: "host";
  readonly path: string;
  readonly owner: string;
}

/** Runs a program; either half may be absent. */
export interface Exec {
  readonly tool: "exec";
  readonly on: Place;
  readonly run?: readonly string[];
  readonly undo?: readonly string[];
  /** What a person is shown in place of a script. */
  readonly shows?: string;
  /** Its failing stops nothing: it may find nothing to do. */
  readonly tolerant?: boolean;
}

/**
 * Starts a program that outlives us; `run` returns once it is ready. In `pidFile` are pids, a line each: that of the
 * leader of the process group that it is in, then the program's.
 */
export interface Spawn {
  readonly tool: "spawn";
  readonly on: "host";
  readonly run: readonly string[];
  /** What starts it another time, if not the same: `run` may go through a process that has ended since. */
  readonly again?: readonly string[];
  /** The program's name in `run`: the words before it only serve to start it. */
  readonly name: string;
  readonly pidFile: string;
  /** A word of the processes' command lines: a pid whose command line lacks it is somebody else's. */
  readonly cmdlineMarker: string;
  /** It has something to do before it ends, so it is asked to, and killed only if it does not. */
  readonly gracefulStop?: boolean;
  /** No link goes with it, nor what was done to links. */
  readonly keepsLinks?: boolean;
  /** Files and directories that it makes and does not remove. */
  readonly cleanupPaths: readonly string[];
}

/**
 * Asks a service's socket: slirp4netns's or our relay's for a port (hostfwd.ts), which both forget by dying; or root's
 * service. Either half may be absent.
 */
export interface Send {
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
export interface Flows {
  readonly tool: "conntrack";
  readonly on: "host";
  readonly port: string;
  /** Only those to this address of the host's. */
  readonly address?: string;
}

/** What can be done to a system. */
export type Step = Line | Sysctl | Claim | Exec | Spawn | Send | Flows;

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
  if (!Object.hasOwn(shapes, String(step["tool"]))) return false;
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
