import type * as Fs from "node:fs";
import type * as Net from "node:net";
import type { Adoption } from "../adoption.ts";
import { builtin } from "./builtin.ts";
import { readInput } from "./process.ts";

/** See adoption.ts. */
export const nodeAdoption: Adoption = {
  installSignalHandlers: () => {},
  waitForLine: (fifo) => {
    const { constants, openSync } = builtin<typeof Fs>("node:fs");
    // A thread that waits in read(2) would keep Node from ending.
    const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    const socket = new (builtin<typeof Net>("node:net").Socket)({ fd, readable: true, writable: false });
    return new Promise((resolve, reject) => {
      let text = "";
      socket.on("error", reject).setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (!text.includes("\n")) return;
        socket.destroy();
        resolve(text.slice(0, text.indexOf("\n")));
      });
    });
  },
  holdForWriting: (fifo) => {
    const { closeSync, openSync, writeSync } = builtin<typeof Fs>("node:fs");
    const fd = openSync(fifo, "r+");
    return { write: (text) => void writeSync(fd, text), letGo: () => closeSync(fd) };
  },
  takeStreams: (pid, descriptors) => {
    const { closeSync } = builtin<typeof Fs>("node:fs");
    const paths = descriptors.map((descriptor) => `/proc/${pid}/fd/${descriptor}`);
    const held = paths.map(open);
    const isWhole = !held.includes(undefined);
    // Node has no dup2(2). A file that is opened gets the lowest number that is free.
    if (isWhole) {
      paths.forEach((path, stream) => {
        closeSync(stream);
        if (open(path, stream) !== stream) throw new Error(`Cannot take over ${path}`);
      });
    }
    held.forEach((fd) => fd === undefined || closeSync(fd));
    return isWhole;
  },
  leaveStreams: () => {
    const { closeSync, openSync } = builtin<typeof Fs>("node:fs");
    [0, 1, 2].forEach((stream) => {
      closeSync(stream);
      openSync("/dev/null", "r+");
    });
    return true;
  },
  take: ({ environment, directory, umask }) => {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, environment);
    process.chdir(directory);
    process.umask(umask);
  },
  readInput,
  appendFile: (path, bytes) => builtin<typeof Fs>("node:fs").appendFileSync(path, bytes, { mode: 0o600 }),
  moved: (path, to) => {
    try {
      builtin<typeof Fs>("node:fs").renameSync(path, to);
      return true;
    } catch {
      return false;
    }
  },
  setModified: (path, at) => builtin<typeof Fs>("node:fs").utimesSync(path, at / 1000, at / 1000),
};

/**
 * Node cannot get another process's open file itself (pidfd_getfd(2)), so that must have no offset. Without O_NONBLOCK
 * opening would wait where a pipe has no process at its other end.
 */
function open(path: string, stream: number): number | undefined {
  const { constants, openSync, statSync } = builtin<typeof Fs>("node:fs");
  try {
    const stats = statSync(path);
    if (!stats.isFIFO() && !stats.isCharacterDevice()) return undefined;
    const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
    return openSync(path, O_NOCTTY | O_NONBLOCK | (stream === 0 ? O_RDONLY : O_WRONLY));
  } catch {
    return undefined;
  }
}
