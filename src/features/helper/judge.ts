import type { Held, World } from "../../plan/world.ts";

/**
 * Holds a process's network namespace, if its user has power over it.
 *
 * Who has power over a network namespace is told by the user namespace that owns it: its owner, or the owner of one that
 * it is in, has all capabilities there (user_namespaces(7); ioctl_ns(2) has NS_GET_USERNS, NS_GET_PARENT and
 * NS_GET_OWNER_UID). Ids that are mapped in it, or a process's user, say nothing of that. No runtime has ioctl(2), and
 * lsns(8) does not tell the owner, so the kernel is asked for what follows from it: whether a process that has the user's
 * effective id and no capability may change links there. Naming a link without a change changes nothing, and takes
 * CAP_NET_ADMIN over the namespace (rtnetlink(7)).
 *
 * The asking process is no way in for that user. Its real user is another, so root alone may trace it, open what
 * it has open or limit it (ptrace(2), "Ptrace access mode checking"), a core dump included. It is root's program, has
 * /dev/null thrice and nothing else, and starts no other. The user can stop or kill it: that is a no, in five seconds.
 *
 * The namespace is opened once, and that descriptor is what is asked about and acted on, so neither a pid that becomes
 * another's nor a process that changes its namespace matters here. Only this shell, which is root's, has it.
 */
const judge = `exec 2>/dev/null 3<"/proc/$4/ns/net" 5<&- 6<&- 7<&- 8<&- 9<&-
[ ! /proc/self/ns/net -ef /proc/self/fd/3 ] || exit
(exec 3<&-
exec timeout --signal=KILL 5 nsenter --net="/proc/$$/fd/3" setpriv --ruid "$1" --euid "$2" --regid "$3" --clear-groups \\
  --no-new-privs --inh-caps=-all --bounding-set=-all -- ip link set dev lo) </dev/null >/dev/null || exit
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
 * @returns undefined for all others, whether they are another user's, the host's, or not there
 */
export async function judgeNamespace(
  world: World,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  pid: number,
): Promise<Judged | undefined> {
  const held = await hold(world, ["sh", "-c", judge, "sh", ...[realUser(uid), uid, gid, pid].map(String)]);
  if (!held) return undefined;
  const path = `/proc/${held.pid}/fd/3`;
  return { path, identity: world.stat(path)!.identity, letGo: held.letGo };
}

/**
 * A user beside the one who asks, with no power either: were `ip` a shell script, its shell would go back to the real
 * user, and the answer be about that one.
 */
function realUser(uid: number): number {
  return uid === 65534 ? 65533 : 65534;
}

async function hold(world: World, argv: readonly string[]): Promise<Held | undefined> {
  try {
    return await world.hold(argv);
  } catch {
    return undefined;
  }
}
