/** Runs an action after all earlier ones have ended. */
export type InTurn = <T>(action: () => Promise<T>) => Promise<T>;

/** Makes a queue that runs one action at a time. */
export function turns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (action) => {
    const next = last.then(action, action);
    last = next.catch(() => {});
    return next;
  };
}
