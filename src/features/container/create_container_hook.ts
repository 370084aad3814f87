import { messageOf } from "../../wire/cni/error.ts";
import { oneLine } from "../../wire/cni/output.ts";
import type { World } from "../../plan/world.ts";
import { identify, isAlive, type ProcessIdentity } from "../../engine/process.ts";

/**
 * Lets a container be attached whose namespaces createRuntime may not enter. Its createContainer hook runs in them and,
 * unlike the init, has been exec'ed there, so it may be inspected. createRuntime leaves an agent running; the hook
 * reports its pid and waits; the agent attaches the container through that process. They meet in a directory named by
 * the init's pid: the hook writes `inside`, waits for the lock on `agent`, and reads `done` or `failed`.
 */
function meetingOf(state: string, init: number): string {
  return `${state}/meetings/${init}`;
}

/**
 * The script of the createContainer hook. It ends at once if no agent waits for it. It reads its own pid and its
 * parent's from /proc as the host numbers them. The directories are those of `stateDirectory`.
 */
export const containerHookScript = `read -r self _ _ init _ </proc/self/stat
while read -r inside outside _; do [ "$inside" != 0 ] || uid=$outside; done </proc/self/uid_map
for state in "$OCINET_STATE_DIR" "$XDG_RUNTIME_DIR/ocinet" "/run/user/$uid/ocinet" "/tmp/ocinet-$uid"; do
  cd -P "$state" 2>/dev/null && [ -O . ] || continue
  # Where any user may make what has that name, we follow no link.
  [ "$PWD" = "$state" ] || [ "$state" != "/tmp/ocinet-$uid" ] || continue
  meeting=$state/meetings/$init
  [ -O "$meeting" ] || continue
  echo "$self" >"$meeting/inside"
  flock -s "$meeting/agent" true
  [ -e "$meeting/done" ] || { status=1; cat "$meeting/failed" >&2; }
  rm -rf "$meeting"
  exit $status
done`;

/**
 * Starts the agent and waits until it is ready for the createContainer hook.
 * @param words the words after `ocinet hook`
 * @param input its standard input
 * @throws Error if it does not become ready
 */
export async function startHookHelper(
  world: World,
  state: string,
  init: number,
  words: readonly string[],
  input: string,
): Promise<void> {
  const meeting = meetingOf(state, init);
  world.remove(meeting);
  world.makeDirectory(meeting);
  world.write(`${meeting}/input`, input);
  // crun runs hooks with all signals blocked. A program that keeps running must not inherit that.
  const start = 'input=$1; shift; setsid env --default-signal "$@" <"$input" >/dev/null 2>&1 & echo $!';
  const { stdout } = await world.run(
    ["sh", "-c", start, "sh", `${meeting}/input`, ...world.self, "hook", ...words],
    { env: world.environment() },
  );
  const agent = identify(world, Number(stdout));
  const isReady = () => world.stat(`${meeting}/ready`) !== undefined;
  while (agent && isAlive(world, agent) && !isReady()) await pause();
  if (isReady()) return;
  world.remove(meeting);
  throw new Error(`Cannot wait for container process ${init}: the process that was to do so has ended`);
}

/**
 * Waits, in the agent, for the createContainer hook, and runs `act` with its process. The hook then continues, or fails
 * if `act` failed. Waiting stops if the container ends.
 */
export async function serveContainerHook(
  world: World,
  state: string,
  init: number,
  act: (inside: number) => Promise<void>,
): Promise<void> {
  const meeting = meetingOf(state, init);
  const leave = await world.lock(`${meeting}/agent`);
  try {
    world.write(`${meeting}/ready`, "");
    const inside = await whoIsInside(world, meeting, identify(world, init));
    if (inside === undefined) return;
    await act(inside);
    world.write(`${meeting}/done`, "");
  } catch (error) {
    world.write(`${meeting}/failed`, `ocinet: ${oneLine(messageOf(error))}\n`);
    throw error;
  } finally {
    leave();
    if (identify(world, init) === undefined) world.remove(meeting);
  }
}

async function whoIsInside(
  world: World,
  meeting: string,
  init: ProcessIdentity | undefined,
): Promise<number | undefined> {
  while (init && isAlive(world, init)) {
    const said = world.read(`${meeting}/inside`);
    if (said?.endsWith("\n")) return Number(said);
    await pause();
  }
  return undefined;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}
