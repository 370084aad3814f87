import { type Exec, exec } from "../../plan/step.ts";
import type { Output, World } from "../../plan/world.ts";
import { attach } from "../container/attach.ts";
import { containerOfProcess, enterUser, fromHere, staleness } from "../../engine/namespace.ts";
import { describeContainer, type Description } from "../container/describe.ts";
import { detach } from "../container/detach.ts";
import { commandOf } from "../run/caller.ts";
import { collectOpportunistically } from "../container/gc.ts";
import {
  containerFile,
  type ContainerRecord,
  type Namespace,
  readContainer,
  readUndamaged,
} from "../../engine/record.ts";
import { endAll, endingOf, enter, holdNamespaces, type Kind, showOwnLinks } from "../run/namespaces.ts";
import { repairNames } from "../container/names_again.ts";
import { repairUnsupervised } from "../container/repair.ts";
import { containersInside, sessionId } from "../rootless/host_forwarding.ts";
import { hostOf } from "../rootless/uplink.ts";
import { isRoot, outerUid } from "../../engine/user.ts";
import type { AttachOptions } from "../container/options.ts";

/**
 * A session is a user, a network and a mount namespace of an ordinary user's, in which they are root, and connected like a
 * container of the id `session`. Whatever ocinet does inside it does as root: bridges, networks of one's own, published
 * ports. These last its uplink, or its relay, brings from the host (session_ports.ts).
 */
const kinds: readonly Kind[] = ["net", "mnt"];

/**
 * A /run of the session's own, with what is in the host's, except for what programs that are root write there, and what
 * its user may not even look into. Within the loop the working directory is the host's still.
 */
const ownRun = `cd /run && mount -t tmpfs -o mode=755 tmpfs /run || exit
for name in *; do
  case $name in netns | ocinet | lock | xtables.lock) continue;; esac
  if [ -h "$name" ]; then cp -P "$name" /run
  elif [ -d "$name" ]; then
    [ ! -r "$name" ] || [ ! -x "$name" ] || { mkdir "/run/$name" && mount --no-canonicalize --rbind "$name" "/run/$name"; }
  elif [ -f "$name" ] || [ -S "$name" ]; then : >"/run/$name" && mount --no-canonicalize --bind "$name" "/run/$name"
  fi
done 2>/dev/null
mkdir /run/lock; cd /`;

/**
 * Two shells hold the namespaces, and each the end of a fifo that the other reads from: whichever is killed, the other sees
 * it and kills what is left. A third, with init as its parent, waits until the process that starts the session is done
 * with that, or killed over it: then nothing is written down of this holder, and no process would find it. To open a fifo
 * at one end would wait for the other, which a killed shell never opens; hence both at once, to begin with.
 */
const hold = `${endAll}
${showOwnLinks}
${ownRun}
mkfifo -m 600 /run/.one /run/.two || exit
exec 3<&0 </dev/null
({ read -r _; grep -q "\\"pid\\":$$," "$JOURNAL" || kill -KILL $$; } <&3 >/dev/null 2>&1 &)
exec 3<>/run/.one 4</run/.one 5>/run/.one
exec 3<>/run/.two 6</run/.two 7>/run/.two
exec 3>&-
rm /run/.one /run/.two
{ exec 5>&- 6<&-; read -r _ <&4; end /proc/self "$@"; } </dev/null >/dev/null 2>&1 &
exec 4<&- 7>&-
echo; exec >/dev/null 2>&1
read -r _ <&6
end /proc/self "$@"`;

/** Kills all that is in the namespaces, and last who holds them, if that is still the one. */
function ending(init: NonNullable<Namespace["init"]>): Exec {
  return exec("host", "end the session", { onError: "ignore", undo: endingOf(init, kinds, true) });
}

/** The session of whose state it is, if it runs. */
export function findSession(world: World, state: string): ContainerRecord | undefined {
  const record = readUndamaged(world, state, sessionId);
  const runs = record?.session && record.phase === "done" && staleness(world, record) === undefined;
  return runs ? record : undefined;
}

/** Starts the session. @throws Error when it runs already, or cannot be started; then everything is undone */
export async function startSession(
  world: World,
  state: string,
  options: AttachOptions,
): Promise<ContainerRecord> {
  refuseRoot(world);
  const unlock = await lockStart(world, state);
  try {
    const running = findSession(world, state);
    if (running) {
      throw new Error(
        `Cannot start a session: it runs already, as process ${running.container.init!.pid}; ` +
          "ocinet session stop ends it",
      );
    }
    return await start(world, state, options);
  } finally {
    unlock();
  }
}

/** Of two who start it at once, the second finds that it runs. */
async function lockStart(world: World, state: string): Promise<() => void> {
  return await world.lock(`${state}/locks/${sessionId}.start`);
}

/** @throws Error for who has no use for a session */
export function refuseRoot(world: World): void {
  if (!isRoot(world)) return;
  throw new Error(
    "Cannot use a session as root: root, also that of a session, has networks of its own without one",
  );
}

async function start(world: World, state: string, options: AttachOptions): Promise<ContainerRecord> {
  const path = containerFile(state, sessionId);
  const [holder] = await Promise.all([
    holdNamespaces(world, kinds, hold, [`JOURNAL=${path}`]),
    collectOpportunistically(world, state),
  ]);
  try {
    const container = containerOfProcess(world, holder.pid);
    const rootfs = { pid: holder.pid, enter: enterUser(container), path: "" };
    const record = await attach(world, state, {
      ...{ id: sessionId, container, rootfs, replace: false },
      session: { lowestPort: hostOf(world).lowestPort, ending: ending(container.init!) },
      options,
    });
    return record!;
  } catch (error) {
    // Of what is not written down it learns that it is not wanted.
    await holder.letGo();
    throw error;
  }
}

/** Ends the session, with all that runs in it. @returns whether there was one */
export async function stopSession(world: World, state: string): Promise<boolean> {
  refuseRoot(world);
  const record = readContainer(world, state, sessionId);
  if (record && !record.session) {
    throw new Error(
      `Cannot stop the session: "${sessionId}" is a container that is none; ocinet down ${sessionId} takes it down`,
    );
  }
  return await detach(world, state, sessionId);
}

/**
 * Has the process that waits for us become a command in the session, as its root; starts the session if there is none.
 * @param words how many of its last words the command is
 * @throws Error when it was not run
 */
export async function runInSession(
  world: World,
  state: string,
  { options, words }: { readonly options: AttachOptions; readonly words: number },
): Promise<void> {
  refuseRoot(world);
  const command = commandOf(world);
  const record = await command.prepare((world) => findOrStart(world, state, options));
  if (!record) return;
  const container = fromHere(world, record.container);
  command.become({ words, enter: enter(container, kinds) }, environment(world, state));
}

/**
 * Inside, state is the session's own. podman takes root of a session for the machine's, unless it is told what `podman
 * unshare` tells; then it has the user's images and containers.
 */
function environment(world: World, state: string): Readonly<Record<string, string | undefined>> {
  return {
    ...{ OCINET_STATE_DIR: undefined, OCINET_SESSION: state },
    ...{ _CONTAINERS_USERNS_CONFIGURED: "done", _CONTAINERS_ROOTLESS_UID: String(outerUid(world)) },
    _CONTAINERS_ROOTLESS_GID: /^Gid:\s+(\d+)/m.exec(world.read("/proc/self/status") ?? "")?.[1],
  };
}

async function findOrStart(world: World, state: string, options: AttachOptions): Promise<ContainerRecord> {
  const running = findSession(world, state);
  if (running) {
    await repairUnsupervised(world, state, sessionId).catch(() => {});
    await repairNames(world, state, sessionId).catch(() => {});
    return running;
  }
  const unlock = await lockStart(world, state);
  try {
    return findSession(world, state) ?? await start(world, state, options);
  } finally {
    unlock();
  }
}

/** Runs a command of ours in the session. @throws Error if there is none */
export async function callInside(world: World, state: string, words: readonly string[]): Promise<Output> {
  const session = findSession(world, state);
  if (!session) {
    throw new Error(`Cannot run "ocinet ${words.join(" ")}" in the session: none runs; see ocinet ls`);
  }
  const container = fromHere(world, session.container);
  // Where the user's networks are.
  const kept = ["HOME", "XDG_CONFIG_HOME"].flatMap((name) =>
    world.env(name) ? [`${name}=${world.env(name)}`] : []
  );
  const own = ["env", "-u", "OCINET_STATE_DIR", `OCINET_SESSION=${state}`, ...kept];
  const inner = [...own, ...world.self, ...words];
  // It shows by itself what it would do.
  return await world.run([...enter(container, kinds), "--wdns=/", "--", ...inner], { looks: true });
}

/** What a command of ours prints that is run in the session. @throws Error with what it complained of */
export async function askInside(world: World, state: string, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await callInside(world, state, words);
  if (code === 0) return stdout;
  throw new Error(stderr.trim().replace(/^ocinet: /, ""));
}

/** What is known of the containers in the session, if it runs: their ids say that they are in it. */
export function describeInside(world: World, state: string): readonly Description[] {
  const session = findSession(world, state);
  if (!session) return [];
  return containersInside(world, session).map((record) => ({
    ...describeContainer(world, record),
    id: `${sessionId}/${record.id}`,
  }));
}
