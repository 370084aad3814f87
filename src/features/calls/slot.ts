/**
 * A slot is the directory in which a process waits for one call. The process makes it and says that it is ready; a launcher
 * claims it and never gives it back: the next call has another slot, also of the same process.
 */
import type { World } from "../../plan/world.ts";
import { stateDirectory } from "../../engine/state.ts";

/** The files of a slot. The launcher knows them too (src/launcher.sh). */
export interface Slot {
  readonly directory: string;
  /** A FIFO: the caller writes its pid. */
  readonly request: string;
  /** A FIFO: the process answers with the exit status, or `cold`. It keeps it open, so its end is the process's end. */
  readonly answer: string;
  /** There when the process waits. It has its pid. */
  readonly ready: string;
  /** The same file once a call has begun. The agent gives it this name where a process that is stopped must begin none. */
  readonly begun: string;
  /** How many calls the process has served before this one. */
  readonly served: string;
  /** Made exclusively by the launcher that claims the slot. It has its pid. */
  readonly caller: string;
  /** What was read of the caller's standard input. If the process dies, the launcher starts with it. */
  readonly input: string;
}

/** The directories of a process's slots, one after the other, are its name with a number. */
export function slotDirectory(directory: string, name: string, number: number): string {
  return `${directory}/${name}.${number}`;
}

/** Those slots of a process that are there: the one it waits or serves in, and for a moment the one before. */
export function slotsOf(world: World, directory: string, name: string): readonly Slot[] {
  return world.list(directory).filter((entry) => entry.startsWith(`${name}.`)).map((entry) =>
    slotIn(`${directory}/${entry}`)
  );
}

/** The directories of slots in which a process waits for a call, in the order of their names. */
export function freeSlots(world: World, directory: string): readonly string[] {
  return world.list(directory).map((entry) => slotIn(`${directory}/${entry}`)).filter(({ ready, caller }) =>
    world.stat(ready) !== undefined && world.stat(caller) === undefined
  ).map(({ directory }) => directory).toSorted();
}

/** The slot of a directory. */
export function slotIn(directory: string): Slot {
  const at = (name: string) => `${directory}/${name}`;
  return {
    ...{ directory, request: at("request"), answer: at("answer") },
    ...{
      ready: at("ready"),
      begun: at("begun"),
      served: at("served"),
      caller: at("caller"),
      input: at("input"),
    },
  };
}

/** The file that is of a later time than now, as long as the agent of a directory of slots runs. */
export function aliveFile(directory: string): string {
  return `${directory}/alive`;
}

/**
 * The directory of all slots of the user's agents of one build of this file, beside the state that is kept if
 * OCINET_STATE_DIR is not set: a launcher has to find it without a runtime.
 */
export function slotsDirectory(world: World, build: string): string {
  const usual = {
    ...world,
    env: (name: string) => name === "OCINET_STATE_DIR" ? undefined : world.env(name),
  };
  return `${stateDirectory(usual)}/calls/${build}`;
}
