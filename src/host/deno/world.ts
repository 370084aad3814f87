import type { Confinement, Self, World } from "../../plan/world.ts";
import { oneLine } from "../../wire/cni/output.ts";
import { http, serveHttp } from "../http.ts";
import { denoReading, denoWriting } from "./files.ts";
import { listen } from "./listen.ts";
import { denoLocking } from "./locks.ts";
import { denoProcesses, ownFile, tell } from "./process.ts";
import { canListen } from "./ports.ts";
import { denoPrograms } from "./programs.ts";
import { hasAddress, request } from "./sockets.ts";

/** The world through Deno's own API: its Node layer would cost 25 ms at every start. */
export function denoWorld(): World {
  const surroundings = { ...denoSelf(), ...denoReading };
  return {
    ...surroundings,
    ...denoWriting,
    ...denoLocking(surroundings),
    ...denoPrograms(surroundings),
    ...{ request, http, serveHttp, listen, canListen, hasAddress },
    ...denoProcesses(surroundings),
    now: Date.now,
    random: Math.random,
    warn: (line) => tell(`ocinet: ${oneLine(line)}\n`),
  };
}

/**
 * A service that makes an object for each datagram keeps 45 MB less so (scripts/bench_resolver.ts), and is no slower; one
 * that serves calls 15 MB (docs/performance.md).
 */
const smallHeap = "--v8-flags=--max-semi-space-size=1";

function denoSelf(): Self {
  return {
    runtime: "deno",
    pid: Deno.pid,
    uid: Deno.uid() ?? 0,
    runtimePath: Deno.execPath(),
    self: selfCommand(["-A"]),
    lean: selfCommand(["-A", smallHeap]),
    confined: (paths, { reads = [], datagrams = false, libc = false, runs }: Partial<Confinement> = {}) =>
      selfCommand([
        ...permissions(paths, reads),
        ...(runs ? [`--allow-run=${runs}`, "--allow-env"] : []),
        ...(libc ? ["--allow-ffi"] : []),
        ...(datagrams ? ["--unstable-net", smallHeap] : []),
      ]),
    ...relayProblem(),
    env: (name) => Deno.env.get(name),
    environment: () => Deno.env.toObject(),
  };
}

/** Of the versions that were tried 2.7.14 cannot, and 2.8.0 can. */
function relayProblem(): Pick<Self, "relayProblem"> {
  const [major, minor] = Deno.version.deno.split(".").map(Number);
  if (major! > 2 || minor! >= 8) return {};
  const why = `Deno ${Deno.version.deno} cannot pass on sockets`;
  return { relayProblem: `${why}; install Deno 2.8 or later, or set OCINET_RUNTIME=node` };
}

function selfCommand(allowed: readonly string[]): readonly string[] {
  return [
    // src/launcher.sh says why.
    ...["/usr/bin/env", "--block-signal=USR1"],
    Deno.execPath(),
    "run",
    ...allowed,
    "--no-config",
    "--no-lock",
    "--ext=js",
    Deno.realPathSync(ownFile()),
  ];
}

/** A comma within a path is written twice. */
function permissions(paths: readonly string[], reads: readonly string[]): readonly string[] {
  const list = (paths: readonly string[]) => paths.map((path) => path.replaceAll(",", ",,")).join(",");
  // Its own file for the parts of that which are evaluated later.
  const own = Deno.realPathSync(ownFile());
  return [
    "--no-prompt",
    `--allow-read=${list([...paths, ...reads, own])}`,
    ...(paths.length > 0 ? [`--allow-write=${list(paths)}`] : []),
    "--allow-net",
  ];
}
