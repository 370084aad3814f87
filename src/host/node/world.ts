import type * as Fs from "node:fs";
import type { Self, World } from "../../plan/world.ts";
import { oneLine } from "../../wire/cni/output.ts";
import { http, serveHttp } from "../http.ts";
import { builtin } from "./builtin.ts";
import { nodeReading, nodeWriting } from "./files.ts";
import { nodeLocking } from "./locks.ts";
import { nodeProcesses, tell } from "./process.ts";
import { canListen } from "./ports.ts";
import { nodePrograms } from "./programs.ts";
import { hasAddress, listen, request } from "./sockets.ts";

/** The world through Node's API. */
export function nodeWorld(): World {
  const surroundings = { ...nodeSelf(), ...nodeReading() };
  return {
    ...surroundings,
    ...nodeWriting(),
    ...nodeLocking(surroundings),
    ...nodePrograms(surroundings),
    ...{ request, http, serveHttp, listen, canListen, hasAddress },
    ...nodeProcesses,
    now: Date.now,
    random: Math.random,
    warn: (line) => tell(`ocinet: ${oneLine(line)}\n`),
  };
}

const smallHeap = "--max-semi-space-size=1";

function nodeSelf(): Self {
  // src/launcher.sh says why.
  const debuggerNowhere = "--inspect-port=[ff02::1]:9229";
  const file = builtin<typeof Fs>("node:fs").realpathSync(process.argv[1]!);
  const run = [process.execPath, debuggerNowhere];
  const self = [...run, file];
  return {
    runtime: "node",
    pid: process.pid,
    uid: process.getuid!(),
    runtimePath: process.execPath,
    self,
    lean: [...run, smallHeap, file],
    // Its permissions do not reach as far as sockets.
    // The heap is kept small as on Deno. Without V8's own threads it is smaller still, on Node alone.
    confined: (_, more) => more?.datagrams ? [...run, smallHeap, "--single-threaded", file] : self,
    env: (name) => process.env[name],
    environment: () => ({ ...process.env }) as Record<string, string>,
  };
}
