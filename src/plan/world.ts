/** The machine as ocinet sees it: an interface for each facet, in one file because together they are the World. */
import type { HttpAnswer, HttpRequest, HttpService } from "./http.ts";

/** What a finished program left. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What identifies a file, and says whose it is. */
export interface Stat {
  readonly kind: "file" | "directory" | "socket" | "other";
  /** `device:inode`, which tells two namespaces apart. */
  readonly identity: string;
  readonly uid: number;
  /** When the content was last written, in milliseconds since 1970. */
  readonly modified: number;
  /** Permission bits. */
  readonly mode: number;
}

/** Whose a file is. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A file, directory or link that is held: what has its name may change meanwhile, this stays the same one. */
export interface Pinned {
  /** Leads to just this one, for us and for programs of the same user and user namespace, until it is released. */
  readonly path: string;
  readonly stat: Stat & Owner & {
    readonly isLink: boolean;
    /** How many names the file has. */
    readonly links: number;
  };
  release(): void;
}

/** This process: what it is, and how it was called. */
export interface Self {
  readonly runtime: "deno" | "node";
  readonly pid: number;
  readonly uid: number;
  /** The absolute path of the runtime. */
  readonly runtimePath: string;
  /** The program and leading arguments that run this file again, all absolute. No signal has it listen for a debugger. */
  readonly self: readonly string[];
  /** The same for a process that waits most of the time, with less memory: V8's young heap is kept at 1 MB. */
  readonly lean: readonly string[];
  /**
   * The same for a service that may do nothing but use the network it is in, and read and write these files: as far as
   * the runtime can see to it.
   */
  confined(paths: readonly string[], more?: Partial<Confinement>): readonly string[];
  /** Why this runtime cannot relay ports (src/host/relay); absent if it can. */
  readonly relayProblem?: string;
  env(name: string): string | undefined;
  /** The whole environment, for programs that get it passed on. */
  environment(): Readonly<Record<string, string>>;
  /** The shell that waits to be told what to become (src/launcher.sh), where that is what started us. */
  readonly caller?: Caller;
}

/** What is read of the file system. Paths are absolute. What is missing reads as undefined or empty. */
export interface Reading {
  read(path: string): string | undefined;
  /** The same where it may be no UTF-8: a character for each byte. */
  readBytes(path: string): string | undefined;
  /** A file's first bytes, or all of it: of a table of the kernel's, what is not read costs nothing. */
  readStart(path: string, bytes: number): string | undefined;
  list(path: string): readonly string[];
  /** Of a symbolic link, what it leads to, or the link itself. */
  stat(path: string, link?: "itself"): Stat | undefined;
  readLink(path: string): string | undefined;
  /**
   * Holds what a path names (O_PATH) without opening it, and of a link the link itself unless it is to be followed. In a
   * directory that others write, this is how to be sure that what was looked at is what is used.
   */
  pin(path: string, link?: "follow"): Pinned | undefined;
}

/** What changes the file system. */
export interface Writing {
  /**
   * Replaces the file whole: readers see the old text or the new one. No link is ever written through.
   * @param mode of the new file, whatever the umask
   * @param owner of the new file
   */
  write(path: string, text: string, mode?: number, owner?: Owner): void;
  /** Makes the file whole, or answers false because the name is taken. */
  create(path: string, text: string, mode?: number): boolean;
  /**
   * Writes into a file that is there, such as one of /proc/sys, or one that is mounted elsewhere. A reader meanwhile may find
   * some of the old text, and no file that is cut. It follows links: not for a directory that others write.
   */
  put(path: string, text: string): void;
  /** Writes to the end of a file that is there; where there is none, nothing. It follows links, as `put` does. */
  append(path: string, text: string): void;
  symlink(target: string, path: string): void;
  makeDirectory(path: string, mode?: number): void;
  /** Removes a file or a whole directory. */
  remove(path: string): void;
  /** Removes a directory unless something is in it. */
  removeEmpty(path: string): void;
}

/** Locks of flock(2), which end with the process that has them. */
export interface Locking {
  /** Waits for the exclusive flock(2) on a file it makes, with its directory; the file goes when it is let go. */
  lock(path: string): Promise<() => void>;
  /** Like `lock`, but answers undefined when a process has it. */
  tryLock(path: string): Promise<(() => void) | undefined>;
  /** Waits for the shared flock(2) on a directory that is there. */
  share(directory: string): Promise<() => void>;
  /** Takes the exclusive one, also of a file, or answers undefined when a process shares it. */
  tryOwn(directory: string): Promise<(() => void) | undefined>;
}

/** What is known of a program that is prepared. */
export interface Preparing {
  /** The words only enter namespaces. The program that follows them in `run` may be any one. */
  readonly enters?: true;
}

/** What starts programs. */
export interface Programs {
  /** Runs a program found on PATH or in the system's own directories, with a clean environment unless one is given. */
  run(argv: readonly string[], options?: RunOptions): Promise<Output>;
  /**
   * Starts a program before its standard input is known, so that `run` with the same words, and input, has it at once.
   * @returns ends it, if `run` has not taken it
   */
  prepare(argv: readonly string[], how?: Preparing): () => void;
  /** What a program says on stderr. Everything stands still meanwhile: it is for what is hardly ever asked. */
  ask(argv: readonly string[]): string;
  /** Starts a program, and tells each line that it says; it ends when we do. */
  watch(argv: readonly string[], tell: (line: string) => void): Watched;
  /**
   * Starts a program that says a line once it is ready, and stays until it is let go.
   * @throws Error with what it said when it ends before, or is not ready in time; then all of its session is killed
   */
  hold(argv: readonly string[]): Promise<Held>;
  /** Starts a program in our place: with our standard streams, and the environment given. */
  start(argv: readonly string[], env: Readonly<Record<string, string>>): Started;
}

/** Sockets. */
export interface Sockets {
  /**
   * Sends one request to a unix socket, ends the sending side, and gives the whole answer.
   * @throws Error when no process listens there, or the answer is not there in time
   */
  request(socket: string, text: string, options?: RequestOptions): Promise<string>;
  /** Sends an HTTP request with JSON. @throws Error when there is no answer, or not in time */
  http(request: HttpRequest): Promise<HttpAnswer>;
  /** Serves HTTP, until it is closed. @throws Error when it cannot listen there */
  serveHttp(service: HttpService): Promise<Listening>;
  /** Answers clients that connect to a unix socket, until it is closed. @throws Error when it cannot listen there */
  listen(at: ListenAt, limits: ListenLimits, serve: Serve): Promise<Listening>;
  /** Whether no process listens on the TCP port of a host's address; a reason other than that counts as free. */
  canListen(address: string, port: number): Promise<boolean>;
  /** Whether programs can listen on an address in our network namespace. A link-local one counts as one that they cannot. */
  hasAddress(address: string): Promise<boolean>;
}

/** Other processes, and signals. */
export interface Processes {
  /** Whether a process has the pid, even one that /proc hides. */
  exists(pid: number): boolean;
  /** Sends a signal to a process, or to a process group by its negative number; false when there is none. */
  signal(pid: number, name: Signal | "SIGKILL"): boolean;
  /** From now on these signals are told, and no longer act on us. */
  onSignals(names: readonly Signal[], tell: (name: Signal) => void): void;
}

/** Time and chance, which a test sets. What must not be foreseen, such as an id, is from `crypto`. */
export interface Chance {
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 up to, but not, 1. */
  random(): number;
}

/** What a function needs that only looks for programs and files. */
export type Surroundings = Self & Reading;

/**
 * Everything impure, in facets. The real one, a test's and the one of `--dry-run` differ only here. Any failure but that
 * something is missing throws, naming the path.
 */
export interface World extends Self, Reading, Writing, Locking, Programs, Sockets, Processes, Chance {
  /** Tells a person one line that does not keep what they want from being done. */
  warn(line: string): void;
}

/** What cannot change anything, here or elsewhere. */
type Harmless =
  | keyof (Self & Reading & Chance)
  | "ask"
  | "canListen"
  | "hasAddress"
  | "exists"
  | "onSignals"
  | "warn";

/** The members that may change something: a dry run has to have each of its own. */
export type Actions = Omit<World, Harmless>;

/** What else a confined service may. */
export interface Confinement {
  /** Files and directories that it reads only. */
  readonly reads: readonly string[];
  /** It has sockets for datagrams by the runtime's own API. */
  readonly datagrams: boolean;
  /** It calls the C library, so that only the system's own limits hold for it. */
  readonly libc: boolean;
  /** A program that it runs, with the environment. */
  readonly runs: string;
}

/** A shell that becomes the program that we have prepared everything for. */
export interface Caller {
  readonly pid: number;
  /** Gives it a line of shell, which ends with `exec` or `exit`. A character stands for a byte. It takes the first one only. */
  tell(script: string): void;
}

/** Signals that people send to programs, and their numbers. */
export const signals = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
} as const;

export type Signal = keyof typeof signals;

/** A program that waits. Its standard input closes when we let it go, or end in whatever way. */
export interface Held {
  readonly pid: number;
  readonly ended: Promise<unknown>;
  /** Waits until it has ended; a second time does nothing. */
  letGo(): Promise<void>;
}

/** Where to listen: at a path that is not there, for root alone until its owner is changed; or on a descriptor. */
export type ListenAt = { readonly path: string } | { readonly descriptor: number };

/** How much is heard of those who connect. */
export interface ListenLimits {
  /** The longest line, in bytes. */
  readonly longest: number;
  /** In which it has to come. */
  readonly timeoutMs: number;
  /** The most connections at once; others are told and closed. */
  readonly most: number;
}

/** Why a client that connected is not heard. */
export type Unheard = "too many" | "too long" | "too late" | "nothing";

/** Answers a line. */
export type Serve = (heard: { readonly line: string } | { readonly unheard: Unheard }) => Promise<Served>;

/** An answer, and what is to be done if the client has gone before it reached it. */
export interface Served {
  readonly answer: string;
  undelivered?(): Promise<void>;
}

/** A socket that is listened on. Closing it leaves those who are being answered. */
export interface Listening {
  close(): void;
  /** That of TCP. */
  readonly port?: number;
}

/** A program that tells things. */
export interface Watched {
  readonly ended: Promise<void>;
  stop(): void;
}

/** A program that runs. */
export interface Started {
  readonly pid: number;
  /** Its exit status; 128 and the number of a signal that ended it. */
  readonly ended: Promise<number>;
}

/** Milliseconds that a program which is held may take until it is ready. */
export const holdTimeoutMs = 20_000;

/** How a program is run. */
export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the program is killed; `usualLimit`, unless told. */
  readonly timeout?: number;
  /** What it says on stderr is passed on to ours, if it succeeds. */
  readonly passOn?: boolean;
  /** What a dry run shows in its place, and what it then counts as having said. */
  readonly dry?: { readonly shows: string; readonly says: string };
  /** It changes nothing: a dry run runs it too. */
  readonly looks?: boolean;
}

/** Milliseconds that a program may take unless it is told otherwise: one that hangs must not hang its caller for ever. */
export const usualLimit = 120_000;

/** What a program leaves that was killed because it took too long. */
export function tookTooLong(limit: number, { stdout, stderr }: Pick<Output, "stdout" | "stderr">): Output {
  return { code: 137, stdout, stderr: `${stderr}it did not end within ${limit / 1000} s\n` };
}

/**
 * How a program ended that did not end by itself; undefined when it did. No signal is over 64: `ip`
 * exits with 255 for a word that it cannot read, firewall-cmd with 252 where firewalld does not run.
 */
export function endedBy({ code, stderr }: Output): string | undefined {
  if (code < 128 || code > 192) return undefined;
  return /it did not end within [0-9.]+ s$/.exec(stderr.trim())?.[0] ??
    `it was ended by signal ${code - 128}`;
}

/** Why a program failed: what it said, or else how it ended. */
export function whyFailed(output: Output): string {
  const { code, stdout, stderr } = output;
  return endedBy(output) ??
    (stderr.trim() || stdout.trim() || `it ended with status ${code} and said nothing`);
}

/** How a service is asked. */
export interface RequestOptions {
  /** It changes nothing: a dry run asks too. */
  readonly looks?: boolean;
  /** Seconds in which the answer has to come. */
  readonly timeoutSeconds?: number;
}

/** How long a request waits for its answer unless it is told otherwise, in seconds. */
export const usualTimeoutSeconds = 60;

/** What a request fails with whose answer does not come in time. */
export function noAnswer(timeoutSeconds: number): Error {
  return new Error(`no answer within ${timeoutSeconds} seconds`);
}

/** What a program fails with that is held, and is not ready in time. */
export function notReady(words: readonly string[]): Error {
  return new Error(`${words.slice(0, 3).join(" ")} is not ready after ${holdTimeoutMs / 1000} seconds`);
}
