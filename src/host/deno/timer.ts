/** In milliseconds: nearly all that is waited for is there by then. */
const soonMs = 500;

/**
 * Calls `tell` after that time, unless what it returns is called before. At the first setTimeout, Deno (2.9) evaluates its
 * Node layer, which takes nearly a tenth of a hook; a signal's timer is there already, but cannot be taken back, so it is short.
 * It does not keep the process alive.
 */
export function later(milliseconds: number, tell: () => void): () => void {
  let [isOver, timer]: [boolean, ReturnType<typeof setTimeout> | undefined] = [false, undefined];
  const soon = Math.min(milliseconds, soonMs);
  AbortSignal.timeout(soon).onabort = () => {
    if (!isOver) timer = setTimeout(tell, milliseconds - soon);
  };
  return () => {
    isOver = true;
    if (timer !== undefined) clearTimeout(timer);
  };
}
