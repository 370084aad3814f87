/** What a shell is told that becomes a command. Characters of a script stand for bytes. */

/** How a command gets where it is to run. */
export interface Way {
  /** How many of the shell's last arguments are the command. */
  readonly words: number;
  /** Absolute path of env(1), and words that enter the namespaces, the last of which takes options. */
  readonly env: string;
  readonly enter: readonly string[];
  /** A cgroup to be in. */
  readonly cgroup?: string;
}

/** The changes of an environment; undefined takes a variable away. */
export type Changes = Readonly<Record<string, string | undefined>>;

/**
 * The script by which a shell becomes the command. The environment is given whole: a shell keeps no variable that it could
 * not name itself, and has some of its own. So that it does not count twice among the arguments that the kernel takes,
 * what is long is taken out of the shell's own. The directory goes by its name, which is valid in the other mount
 * namespace; one that has none any more is only held.
 */
export function becomeScript(
  { words, env, enter, cgroup }: Way,
  variables: readonly string[],
): string {
  const long = variables.filter((variable) => variable.length >= longVariable)
    .flatMap((variable) => /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(variable)?.[1] ?? []);
  return [
    `shift $(($# - ${words}))`,
    ...(cgroup === undefined ? [] : [`echo "$$" >${quoteBytes(bytesOf(`${cgroup}/cgroup.procs`))}`]),
    'if [ -d "$PWD" ]; then ocinet_plan=--wdns=$PWD; else ocinet_plan=--wd=.; fi',
    ...(long.length === 0 ? [] : [`unset ${long.join(" ")}`]),
    `exec ${[env, "-i"].map((word) => quoteBytes(bytesOf(word))).join(" ")} ${
      variables.map(quoteBytes).join(" ")
    } ${enter.map((word) => quoteBytes(bytesOf(word))).join(" ")} "$ocinet_plan" -- "$@"`,
  ].join("; ");
}

const longVariable = 1024;

/** The script by which a shell says something, and ends. */
export function exitScript(code: number, said: string): string {
  return said === "" ? `exit ${code}` : `printf %s ${quoteBytes(bytesOf(said))}; exit ${code}`;
}

/** An environment as /proc/PID/environ has it, changed. What is no variable cannot be handed on. */
export function changeEnvironment(environ: string, changes: Changes): readonly string[] {
  const kept = environ.split("\0").filter((variable) => {
    const end = variable.indexOf("=");
    return end > 0 && !Object.hasOwn(changes, variable.slice(0, end));
  });
  const added = Object.entries(changes).flatMap(([name, value]) =>
    value === undefined ? [] : [bytesOf(`${name}=${value}`)]
  );
  return [...kept, ...added];
}

/** One word for a shell, on one line: the launcher has a line's end in a variable. */
export function quoteBytes(word: string): string {
  return `'${word.replaceAll("'", "'\\''").replaceAll("\n", "'\"$ocinet_newline\"'")}'`;
}

/** A text's UTF-8, a character for each byte. */
export function bytesOf(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

/** The text of such bytes; what is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: string): string {
  return new TextDecoder().decode(Uint8Array.from(bytes, (character) => character.charCodeAt(0)));
}
