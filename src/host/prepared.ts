import { quote } from "../plan/batch.ts";
import { needProgram } from "../plan/programs.ts";
import type { Preparing, Surroundings } from "../plan/world.ts";

/** How a runtime starts programs, and ends one that nothing has been written to. */
export interface Starter<Child> {
  /** With pipes for all three standard streams. @returns undefined if there is no room for another one */
  start(argv: readonly string[]): Child | undefined;
  /** Writes to its standard input, and leaves that open. */
  write(child: Child, text: string): void;
  end(child: Child): void;
}

/** A program that waits for its standard input. */
interface Waiting<Child> extends Preparing {
  readonly argv: readonly string[];
  readonly child: Child;
  /** `device:inode` of the program. */
  readonly identity: string | undefined;
}

/** A program that waited, and what it has to read before its own input. */
interface Taken<Child> {
  readonly child: Child;
  readonly head: string;
}

/** Programs that have been started before their input is known. */
export interface PreparedPrograms<Child> {
  prepare(argv: readonly string[], how?: Preparing): () => void;
  /** Undefined if no such program waits: the caller starts one. */
  take(argv: readonly string[]): Taken<Child> | undefined;
}

/** All of this process's: each call that it serves has a World of its own. */
const waiting = new Set<Waiting<unknown>>();

/** A shell that becomes what the first line of its input says. One that is prepared itself enters sooner than a new one. */
export const becoming: readonly string[] = ["sh", "-c", 'read -r l && eval "$l"'];

export function preparedPrograms<Child extends { readonly pid?: number | undefined }>(
  world: Surroundings,
  { start, write, end }: Starter<Child>,
): PreparedPrograms<Child> {
  const identityOf = ([program]: readonly string[]) => world.stat(needProgram(world, program!))?.identity;
  const isAlive = ({ child }: Waiting<Child>) =>
    /\) [^ZX] /.test(world.read(`/proc/${child.pid}/stat`) ?? "");
  const find = (isWanted: (one: Waiting<Child>) => boolean) =>
    [...waiting as Set<Waiting<Child>>].find(isWanted);
  const take = (argv: readonly string[]) => {
    const one = find((one) => isSame(one.argv, one.enters ? argv.slice(0, one.argv.length) : argv));
    if (!one || !isOneLine(argv) || one.identity !== identityOf(argv)) return undefined;
    waiting.delete(one);
    if (!isAlive(one)) return undefined;
    return { child: one.child, head: one.enters ? `${lineFor(argv.slice(one.argv.length))}\n` : "" };
  };
  const startToEnter = (argv: readonly string[]) => {
    const words = [...argv, ...becoming];
    const shell = isOneLine(argv) ? take(becoming) : undefined;
    if (!shell) return start(words);
    write(shell.child, `${lineFor(words)}\n`);
    return shell.child;
  };
  return {
    prepare: (argv, how = {}) => {
      const old = find((one) => isSame(one.argv, argv));
      if (old && isAlive(old)) return () => {};
      if (old) waiting.delete(old);
      try {
        const identity = identityOf(argv);
        const child = how.enters ? startToEnter(argv) : start(argv);
        if (!child) return () => {};
        const one = { argv, child, identity, ...how };
        waiting.add(one);
        return () => waiting.delete(one) && end(child);
      } catch {
        // `run` says why it cannot be started.
        return () => {};
      }
    },
    take,
  };
}

function isOneLine(argv: readonly string[]): boolean {
  return !argv.some((word) => word.includes("\n"));
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

/** The shell does a script by itself. */
function lineFor(argv: readonly string[]): string {
  const [program, option, script, _, ...args] = argv;
  if (program !== "sh" || option !== "-c") return `exec ${argv.map(quote).join(" ")}`;
  return `set -- ${args.map(quote).join(" ")}; ${script}`;
}
