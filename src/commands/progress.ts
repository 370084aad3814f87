import type { World } from "../plan/world.ts";

/** The start of a terminal's line, and what erases the rest of it. */
const [start, erase] = ["\r", "\x1b[K"];

/**
 * Tells a person at a terminal what a command waits for, in a line that is drawn again and again and goes at the end.
 * @param every milliseconds, from the start on
 */
export function watched(
  world: World,
  print: (text: string) => void,
  every = 1000,
): { readonly world: World; end(): void } {
  const [began, waiting] = [performance.now(), new Set<{ readonly what: string }>()];
  let isShown = false;
  const timer = setInterval(() => {
    const what = [...waiting].at(-1)?.what;
    const seconds = Math.floor((performance.now() - began) / 1000);
    print(`${start}ocinet: ${seconds} s${what === undefined ? "" : `, waiting for ${what}`}${erase}`);
    isShown = true;
  }, every);
  const clear = () => {
    if (isShown) print(start + erase);
    isShown = false;
  };
  const during = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    const one = { what };
    waiting.add(one);
    return await act().finally(() => waiting.delete(one));
  };
  return {
    world: {
      ...world,
      run: (argv, options) => during(programsIn(argv), () => world.run(argv, options)),
      request: (socket, text, options) => during(socket, () => world.request(socket, text, options)),
      warn: (text) => {
        clear();
        world.warn(text);
      },
    },
    end: () => {
      clearInterval(timer);
      clear();
    },
  };
}

/** The first words of a command line that are no options: a program, and the one that it runs. */
function programsIn(argv: readonly string[]): string {
  return argv.filter((word) => /^[/\w][\w./-]*$/.test(word) && !word.startsWith("/proc/"))
    .map((word) => word.slice(word.lastIndexOf("/") + 1)).slice(0, 2).join(" ");
}
