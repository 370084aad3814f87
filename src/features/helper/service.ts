import { givenSockets } from "../../engine/listen_fds.ts";
import { isRoot } from "../../engine/user.ts";
import type { Listening, Serve, Unheard, World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import {
  helperDirectory,
  type HelperRequest,
  helperSocket,
  longestRequest,
  parseRequest,
  writeAnswer,
  writeRefusal,
} from "../../wire/helper/wire.ts";
import { Refusal, serveRequest } from "./attach.ts";
import { networkProblems } from "./networks.ts";
import { restoreTables } from "../container/watching.ts";
import { cleanUp, type Service, watchKernel } from "./upkeep.ts";
import { grantedBy, grantsFor, type HelperUser, readPolicy } from "./users.ts";

/** A caller may keep a connection for five seconds before it has said anything, and a user thirty-two at once. */
const limits = { longest: longestRequest, timeoutMs: 5000, most: 32 };

/**
 * Serves ordinary users until it is told to end: plugs veths into network namespaces of theirs, as far as the policy
 * grants, and takes them away again when these end. The user is known by the socket, of which each has their own.
 * @throws Error when it cannot begin
 */
export async function runHelper(
  world: World,
  state: string,
  policy: string,
  tell: (line: string) => void,
): Promise<void> {
  if (!isRoot(world)) throw new Error("Cannot serve users: that takes root; sudo ocinet helper");
  await prepareDirectory(world);
  const leave = await world.tryLock(`${helperDirectory}/.lock`);
  if (!leave) {
    throw new Error(`Cannot serve users: another service has ${helperDirectory} already; stop that one`);
  }
  try {
    const granted = await grantedBy(world, policy, readPolicy(world, policy));
    const service = { world, state, policy, tell, granted, sockets: new Map(), turns: new Map() };
    await cleanUp(service);
    const ended = awaitSignals(service);
    const watched = watchKernel(service);
    await restoreTables(service.world, service.state, service.tell);
    await adoptSockets(service);
    await renewSockets(service);
    tell(`serves users ${[...service.sockets.keys()].join(", ") || "none"}, as ${policy} grants`);
    await ended;
    watched.stop();
    service.sockets.forEach((socket) => socket.close());
    await Promise.allSettled(service.turns.values());
  } finally {
    leave();
  }
}

/** Others have to get through to their sockets, whatever root's umask is. */
async function prepareDirectory(world: World): Promise<void> {
  const { code, stderr } = await world.run([
    "install",
    "-d",
    "-m",
    "755",
    "-o",
    "root",
    "-g",
    "root",
    helperDirectory,
  ]);
  if (code !== 0) throw new Error(`Cannot make ${helperDirectory}: ${stderr.trim()}`);
}

/** SIGHUP has the policy read again, with users and groups; the others end. */
function awaitSignals(service: Service): Promise<void> {
  return new Promise((resolve) =>
    service.world.onSignals(["SIGTERM", "SIGINT", "SIGHUP"], (name) => {
      if (name !== "SIGHUP") return resolve();
      void refresh(service, true);
    })
  );
}

/** Reads the policy again if it has changed. @throws Error for one that cannot be used, which grants nothing */
async function refresh(service: Service, always: boolean): Promise<void> {
  const { world, policy, granted, tell } = service;
  try {
    const text = readPolicy(world, policy);
    if (!always && text === granted.text) return;
    service.granted = await grantedBy(world, policy, text);
    await renewSockets(service);
    tell(`has read ${policy}: serves users ${[...service.sockets.keys()].join(", ") || "none"}`);
  } catch (error) {
    tell(messageOf(error));
    if (!always) {
      throw new Refusal("Cannot do anything for users: the policy cannot be used, and the log says why");
    }
  }
}

/** Sockets that systemd listens on; their names are users' numbers. */
async function adoptSockets(service: Service): Promise<void> {
  const { world, sockets } = service;
  // One of a user's programs would have the sockets of all.
  for (
    const { descriptor, name } of givenSockets(world, "enable ocinet-helper.service without its sockets")
  ) {
    const uid = Number(name);
    const stat = world.stat(helperSocket(uid));
    if (stat?.kind !== "socket" || stat.uid !== uid || (stat.mode & 0o077) !== 0 || uid === 0) {
      throw new Error(
        `Cannot take socket "${name}" from systemd: ${helperSocket(uid)} is not that user's alone`,
      );
    }
    sockets.set(
      uid,
      await world.listen({ descriptor }, limits, (heard) => serve(service, uid, heard)),
    );
  }
}

/** Every user in the policy has a socket, and no other user. */
async function renewSockets(service: Service): Promise<void> {
  const { world, sockets, granted, tell } = service;
  granted.unknown.forEach((who) => tell(`passes over "${who}" in the policy: there is no user of that name`));
  const networks = granted.rules.flatMap((rule) => rule.kind === "veth" ? [rule.network] : []);
  const problems = await networkProblems(world, [...new Set(networks)]);
  problems.forEach((problem, name) => tell(`passes over "${name}" in the policy: ${problem}`));
  for (const [uid, socket] of sockets) {
    if (granted.users.has(uid)) continue;
    socket.close();
    sockets.delete(uid);
    world.remove(helperSocket(uid));
  }
  for (const uid of granted.users.keys()) {
    if (!sockets.has(uid)) sockets.set(uid, await listenFor(service, uid));
  }
}

async function listenFor(service: Service, uid: number): Promise<Listening> {
  const { world } = service;
  const path = helperSocket(uid);
  // We have the lock: whose it was is no more.
  world.remove(path);
  const socket = await world.listen({ path }, limits, (heard) => serve(service, uid, heard));
  const { code, stderr } = await world.run(["chown", String(uid), path]);
  if (code === 0) return socket;
  socket.close();
  throw new Error(`Cannot give ${path} to user ${uid}: ${stderr.trim()}`);
}

/** One request of a user's at a time. */
async function serve(service: Service, uid: number, heard: Parameters<Serve>[0]): ReturnType<Serve> {
  const { turns } = service;
  if ("unheard" in heard) return refuse(service, uid, "connection", new Refusal(unheard[heard.unheard]));
  const turn = (turns.get(uid) ?? Promise.resolve()).then(() => answer(service, uid, heard.line));
  turns.set(uid, turn);
  const answered = await turn;
  if (turns.get(uid) === turn) turns.delete(uid);
  return answered;
}

const unheard: Readonly<Record<Unheard, string>> = {
  "too many": `Cannot hear more than ${limits.most} requests of one user at once; try again later`,
  "too long": `Cannot read a request longer than ${longestRequest} bytes`,
  "too late": `Cannot wait longer than ${limits.timeoutMs / 1000} seconds for a request`,
  "nothing": "Cannot read a request: nothing was said",
};

async function answer(service: Service, uid: number, line: string): ReturnType<Serve> {
  let what = "request";
  try {
    const request = readRequest(line);
    // What is there may be taken away whatever the policy has become.
    const undoing = undoingOf(request);
    if (undoing || request.do === "show") await refresh(service, false);
    const user = service.granted.users.get(uid);
    if (!user) throw new Refusal("Cannot do anything for you: the policy does not name you");
    what = "id" in request ? `${request.do} ${request.id}` : request.do;
    const asking = { ...service, user, grants: grantsFor(service.granted, uid) };
    const value = await serveRequest(asking, request);
    if (request.do !== "show") service.tell(`${nameOf(user)}: ${what}: done`);
    return {
      answer: writeAnswer(value),
      ...(undoing ? { undelivered: () => rollBack(service, user, what, undoing) } : {}),
    };
  } catch (error) {
    return refuse(service, uid, what, error);
  }
}

function readRequest(line: string) {
  try {
    return parseRequest(line);
  } catch (error) {
    throw new Refusal(messageOf(error));
  }
}

/** Tells the log all, and the user only what is the user's business. */
function refuse({ granted, tell }: Service, uid: number, what: string, error: unknown) {
  const user = granted.users.get(uid);
  const { cause } = error as Error;
  const whole = messageOf(error) + (cause === undefined ? "" : ` (${messageOf(cause)})`);
  tell(`${user ? nameOf(user) : `user ${uid}`}: ${what}: refused: ${whole.slice(0, 1000)}`);
  return {
    answer: writeRefusal(
      error instanceof Refusal
        ? error.message
        : "Cannot do that now, for a reason that root finds in the service's log",
    ),
  };
}

function nameOf({ uid, names }: HelperUser): string {
  return `user ${uid} (${[...names][0]})`;
}

/** What takes back what is asked for, if that makes anything. */
function undoingOf(request: HelperRequest): HelperRequest | undefined {
  if (request.do === "attach") return { do: "detach", id: request.id };
  return request.do === "publish" ? { ...request, do: "unpublish" } : undefined;
}

/** No client waits any more for what was done. */
async function rollBack(
  service: Service,
  user: HelperUser,
  what: string,
  undoing: HelperRequest,
): Promise<void> {
  const { turns, tell } = service;
  const grants = grantsFor(service.granted, user.uid);
  const turn = (turns.get(user.uid) ?? Promise.resolve()).then(async () => {
    try {
      await serveRequest({ ...service, user, grants }, undoing);
      tell(`${nameOf(user)}: ${what}: taken back, because the caller has gone`);
    } catch (error) {
      tell(`${nameOf(user)}: ${what}: ${messageOf(error)}`);
    }
  });
  turns.set(user.uid, turn);
  await turn;
}
