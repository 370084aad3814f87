import type { World } from "../plan/world.ts";

/** What fails when somebody would not wait for it. */
export class Interrupted extends Error {}

/** A world in which to wait can be ended. */
export interface Interruptible {
  readonly world: World;
  /** Whatever is waited for fails with `Interrupted`, also if it is done later; what is begun from now on does not. */
  interrupt(): void;
}

/** The same world, where waiting for programs, answers and locks can be ended. */
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
