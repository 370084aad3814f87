import assert from "node:assert/strict";
import { test } from "node:test";
import { messageOf } from "./error.ts";

test("what Node and Deno say of a failed system call is told in our words", () => {
  const rows: readonly (readonly [string, string])[] = [
    [
      "EACCES: permission denied, mkdir '/opt/cni/bin'",
      "Cannot make directory /opt/cni/bin: permission denied; this takes root (sudo), or the right to it",
    ],
    [
      "Permission denied (os error 13): mkdir '/opt/cni/bin'",
      "Cannot make directory /opt/cni/bin: permission denied; this takes root (sudo), or the right to it",
    ],
    [
      "ENOENT: no such file or directory, symlink '/usr/local/bin/ocinet' -> '/proc/x'",
      "Cannot make /proc/x: there is no such file or directory",
    ],
    ["ENOSPC: no space left on device, open '/a b'", "Cannot open /a b: no space is left on the device"],
    ["spawn /usr/sbin/ip EMFILE", "Cannot start /usr/sbin/ip: too many files are open (ulimit -n)"],
    [
      "Failed to spawn '/usr/sbin/ip': Resource temporarily unavailable (os error 11)",
      "Failed to spawn '/usr/sbin/ip': no more processes may be started (ulimit -u)",
    ],
    [
      "No space left on device (os error 28): writefile '/s/a/.container.json.77.4294967295'",
      "Cannot write /s/a/container.json: no space is left on the device",
    ],
    ["ENOSPC: no space left on device, write '/s/a'", "Cannot write /s/a: no space is left on the device"],
    ["EISDIR: illegal operation on a directory, read", "it is a directory, not a file"],
    ["Is a directory (os error 21)", "it is a directory, not a file"],
    [
      "Cannot write to standard output: ENOSPC: no space left on device, write",
      "Cannot write to standard output: no space is left on the device",
    ],
    [
      "Cannot write to standard output: No space left on device (os error 28)",
      "Cannot write to standard output: no space is left on the device",
    ],
    ...[
      "EPERM: operation not permitted, link '/s/.a.1.2' -> '/s/a'",
      "ENOSYS: function not implemented, link '/s/.a.1.2' -> '/s/a'",
      "Operation not permitted (os error 1), link '/s/.a.1.2' -> '/s/a'",
      "Function not implemented (os error 38): link '/s/.a.1.2' -> '/s/a'",
    ].map((said) =>
      [
        said,
        "Cannot make /s/a: its file system has no hard links; if it is for state, set OCINET_STATE_DIR to a directory on one " +
        "that has, such as a tmpfs",
      ] as const
    ),
    ["EWHAT: no such thing, open '/x'", "EWHAT: no such thing, open '/x'"],
    ["Cannot do this: it is late", "Cannot do this: it is late"],
  ];
  for (const [said, told] of rows) assert.equal(messageOf(new Error(said)), told);
});
