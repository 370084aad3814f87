import { lockHolder } from "../plan/open_files.ts";
import type { Surroundings } from "../plan/world.ts";

/** In milliseconds: how long to wait for a lock before a message is printed. */
const silenceMs = 3000;

/** Waits for a lock. After a while, prints the process that holds it to standard error. */
export async function tellWait<T>(
  world: Surroundings,
  path: string,
  wait: Promise<T>,
  tell: (text: string) => void,
): Promise<T> {
  const timer = setTimeout(
    () => tell(`ocinet: Waiting for the lock ${path}${holderOf(world, path)}\n`),
    silenceMs,
  );
  try {
    return await wait;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Why a path could not be locked: some file systems have no locks at all, such as some of FUSE's and 9p's.
 * @param reason what the system says
 */
export function lockFailed(path: string, reason: string): Error {
  return new Error(
    `Cannot lock ${path}: ${reason}; if its file system has no locks, set OCINET_STATE_DIR to one that has`,
  );
}

/** The process that has a lock, for a message. */
export function holderOf(world: Surroundings, path: string): string {
  const pid = lockHolder(world, path);
  if (pid === undefined) return "";
  const words = (world.read(`/proc/${pid}/cmdline`) ?? "").split("\0").join(" ").trim();
  return `, which process ${pid} has (${words.length > 200 ? `...${words.slice(-200)}` : words})`;
}
