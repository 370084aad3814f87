import type { Held, World } from "../../plan/world.ts";

/**
 * Holds a process's network namespace, once the kernel has let the user into it: by the user's ids alone, and no more than
 * a user can have, which is what owning the user namespace it belongs to takes. Both are opened once, by root, and all
 * that follows is done through the descriptor. The one who enters runs as the user, who may do with it as with any of
 * their processes, and make it say or do what they like; so nothing it says counts, only in which namespace the kernel
 * has it, and that it is our child, whose pid cannot be another's until we have waited for it.
 */
const judge = `uid=$1 gid=$2 pid=$3 fifo=$4
exec 3<"/proc/$pid/ns/net" 4<"/proc/$pid/ns/user" 2>/dev/null 5<&- 6<&- 7<&- 8<&- 9<&-
[ ! /proc/self/ns/net -ef /proc/self/fd/3 ] && mkfifo -m 600 "$fifo" || exit
setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- \\
  nsenter --user=/proc/self/fd/4 --preserve-credentials --net=/proc/self/fd/3 -- sh -c 'echo; kill -STOP $$' \\
  </dev/null >"$fifo" &
child=$!
timeout --signal=KILL 5 head -c 1 "$fifo" >/dev/null
rm "$fifo"
read -r children <"/proc/$$/task/$$/children"
entered=
case " $children " in
  *" $child "*) [ ! "/proc/$child/ns/net" -ef /proc/self/fd/3 ] || entered=yes ;;
esac
kill -KILL "$child"; wait "$child"
[ "$entered" ] || exit
exec 4<&-
echo; read -r _`;

/** A network namespace that is a user's own. */
export interface Judged {
  /** A path that leads to it as long as it is held. */
  readonly path: string;
  /** `device:inode`. */
  readonly identity: string;
  letGo(): Promise<void>;
}

/**
 * The network namespace of a process, if it is the user's.
 * @param fifo a path that is not there, where nobody but root can go
 * @returns undefined for all others, whether they are somebody else's, the host's, or not there
 */
export async function judgeNamespace(
  world: World,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  pid: number,
  fifo: string,
): Promise<Judged | undefined> {
  const held = await hold(world, ["sh", "-c", judge, "sh", String(uid), String(gid), String(pid), fifo]);
  if (!held) return undefined;
  const path = `/proc/${held.pid}/fd/3`;
  return { path, identity: world.stat(path)!.identity, letGo: held.letGo };
}

async function hold(world: World, argv: readonly string[]): Promise<Held | undefined> {
  try {
    return await world.hold(argv);
  } catch {
    return undefined;
  }
}
