/** The descriptors that a process may still use. */
export interface Room {
  /** Takes this many, or none if there are fewer. */
  take(count: number): boolean;
  give(count: number): void;
}

/** Reserved for the runtime, the sockets for requests, and connections that are just opening or closing. */
const reserve = 64;
/** The largest number in use at once, whatever the system allows. */
const most = 16_384;

/** @param limit how many descriptors this process may have */
export function roomOf(limit: number): Room {
  let left = Math.max(0, Math.min(most, limit - reserve));
  return {
    take: (count) => {
      if (left < count) return false;
      left -= count;
      return true;
    },
    give: (count) => void (left += count),
  };
}
