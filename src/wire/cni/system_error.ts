/** For each error name of the kernel: its number, and the reason in words, with a remedy where there is one. */
const reasons: Readonly<Record<string, readonly [number: number, reason: string]>> = {
  EPERM: [1, "it is not permitted; this takes root (sudo)"],
  ENOENT: [2, "there is no such file or directory"],
  EAGAIN: [11, "no more processes may be started (ulimit -u)"],
  ENOMEM: [12, "there is not enough memory"],
  EACCES: [13, "permission denied; this takes root (sudo), or the right to it"],
  EBUSY: [16, "it is in use"],
  EEXIST: [17, "there is a file of that name already"],
  ENOTDIR: [20, "a part of its path is not a directory"],
  EISDIR: [21, "it is a directory, not a file"],
  EINVAL: [22, "the kernel does not take it"],
  ENFILE: [23, "the system has too many open files"],
  EMFILE: [24, "too many files are open (ulimit -n)"],
  ENOSPC: [28, "no space is left on the device"],
  EROFS: [30, "its file system is read-only"],
  ENAMETOOLONG: [36, "its name is too long"],
  ELOOP: [40, "too many symbolic links lead to it"],
  EDQUOT: [122, "the user's quota on the device is used up"],
};

/** What link(2) says where there are no hard links, as on vfat, and some of FUSE's and 9p's file systems. */
const linkless = ["EPERM", "1", "ENOSYS", "38", "EOPNOTSUPP", "ENOTSUP", "95"];

/** What was tried, by the names that Node and Deno have for it. */
const attempts: Readonly<Record<string, string>> = {
  ...{
    open: "open",
    spawn: "start",
    read: "read",
    readfile: "read",
    readdir: "list",
    scandir: "list",
    mkdir: "make directory",
  },
  ...{
    write: "write",
    writefile: "write",
    link: "make",
    symlink: "make",
    rename: "replace",
    stat: "look at",
  },
  ...{ unlink: "remove", remove: "remove", rmdir: "remove", rm: "remove", chmod: "change", chown: "change" },
};

const nodes = /^(.*?: )?(E[A-Z]+): [^,]*, (\w+)(?: '(.*?)')?(?: -> '(.*)')?$/s;
const denos = /^(.*?: )?[^(:]*\(os error (\d+)\)(?:[:,] (\w+)(?: '(.*?)')?(?: -> '(.*)')?)?$/s;

/**
 * Rewords a runtime's report of a failed system call; undefined for any other text. Our own text before the report
 * ("Cannot write to standard output: ") is kept.
 */
export function systemError(text: string): string | undefined {
  // Node has another order for programs.
  text = text.replace(/spawn (\S+) (E[A-Z]+)$/, "$2: , spawn '$1'");
  const found = nodes.exec(text) ?? denos.exec(text);
  if (!found) return undefined;
  const [, before = "", why, attempt, path, other] = found;
  if (attempt === "link" && linkless.some((one) => one === why)) {
    return `${before}Cannot make ${
      other ?? path
    }: its file system has no hard links; if it is for state, set ` +
      "OCINET_STATE_DIR to a directory on one that has, such as a tmpfs";
  }
  const reason = reasons[why!]?.[1] ?? Object.values(reasons).find(([number]) => String(number) === why)?.[1];
  if (reason === undefined) return undefined;
  // A file that was only begun is told by the name that it was to have.
  const what = (other ?? path)?.replace(/\/\.([^/]+)\.\d+\.\d+$/, "/$1");
  return before + (what === undefined ? reason : `Cannot ${attempts[attempt!] ?? "use"} ${what}: ${reason}`);
}
