import type { World } from "../plan/world.ts";

/** The error of a wait that was interrupted. */
export class Interrupted extends Error {}

/** A World whose waits can be interrupted. */
export interface Interruptible {
  readonly world: World;
  /**
   * All current waits fail with `Interrupted`, even if the thing happens later. Waits that begin from now on are not
   * affected.
   */
  interrupt(): void;
}

/** Wraps a World so that waits for programs, answers and locks can be interrupted. */
export function interruptible(world: World): Interruptible {
  const waiting = new Set<(error: Interrupted) => void>();
  const wait = async <T>(awaited: Promise<T>): Promise<T> => {
    let end!: (error: Interrupted) => void;
    const interrupted = new Promise<never>((_, reject) => waiting.add(end = reject));
    try {
      return await Promise.race([awaited, interrupted]);
    } finally {
      waiting.delete(end);
    }
  };
  return {
    world: {
      ...world,
      run: (argv, options) => wait(world.run(argv, options)),
      request: (socket, text, options) => wait(world.request(socket, text, options)),
      lock: (path) => wait(world.lock(path)),
      share: (directory) => wait(world.share(directory)),
    },
    interrupt: () => waiting.forEach((end) => end(new Interrupted("Interrupted by a signal"))),
  };
}
