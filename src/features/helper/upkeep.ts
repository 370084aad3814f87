/** What the helper's service does by itself: it puts rules back, and takes away what is left. */
import type { Listening, World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { collect } from "../container/gc.ts";
import { keepWatching, watchTables } from "../container/watching.ts";
import { helperIds, sweep } from "./attach.ts";
import type { Granted } from "./users.ts";

/** What the service knows, and goes on learning. */
export interface Service {
  readonly world: World;
  readonly state: string;
  readonly policy: string;
  /** Tells one line. */
  readonly tell: (line: string) => void;
  granted: Granted;
  readonly sockets: Map<number, Listening>;
  /** What each user's next request waits for. */
  readonly turns: Map<number, Promise<unknown>>;
}

/** What an earlier service was killed over, and what ended while there was none. */
export async function cleanUp({ world, state, tell }: Service): Promise<void> {
  const { collected, problems } = await collect(world, state, helperIds(world, state));
  collected.forEach(({ id, reason }) => tell(`took away ${id}: ${reason}`));
  problems.forEach(tell);
  (await sweep(world, state)).forEach((line) => tell(`took away ${line}`));
}

/** With a namespace its veth ends, and the kernel tells of that; as it does when another program takes our tables away. */
export function watchKernel(service: Service): { stop(): void } {
  const { world } = service;
  const links = keepWatching(
    world,
    ["ip", "-o", "monitor", "link"],
    /^Deleted .*\bveth[0-9a-f]{11}@/,
    () => sweepAll(service),
  );
  const tables = watchTables(world, service.state, service.tell);
  return { stop: () => [links, tables].forEach(({ stop }) => stop()) };
}

async function sweepAll({ world, state, tell }: Service): Promise<void> {
  try {
    (await sweep(world, state)).forEach((line) => tell(`took away ${line}`));
  } catch (error) {
    tell(messageOf(error));
  }
}
