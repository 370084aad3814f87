/** Does something once all that was asked before has been done. */
export type InTurn = <T>(action: () => Promise<T>) => Promise<T>;

/** Does one thing after the other. */
export function turns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (action) => {
    const next = last.then(action, action);
    last = next.catch(() => {});
    return next;
  };
}
