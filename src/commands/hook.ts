import { messageOf } from "../wire/cni/error.ts";
import {
  type Config,
  hasUserNamespace,
  isInjected,
  readConfig,
  rootPath,
  switchesIpv6Off,
} from "../wire/oci/config.ts";
import { type OptionValues, parseWords, UsageError } from "../wire/oci/options.ts";
import { parseState, type State } from "../wire/oci/state.ts";
import { mayEnter } from "../engine/process.ts";
import type { World } from "../plan/world.ts";
import { attach } from "../features/container/attach.ts";
import { containerOfProcess, enterUser, knownBy } from "../engine/namespace.ts";
import { detach } from "../features/container/detach.ts";
import type { Rootfs } from "../features/container/file_mounts.ts";
import type { Namespace } from "../engine/record.ts";
import { collectOpportunistically } from "../features/container/gc.ts";
import { note } from "../engine/hook_log.ts";
import { serveContainerHook, startHookHelper } from "../features/container/create_container_hook.ts";
import { idFromRuntime, stateDirectory } from "../engine/state.ts";
import { type AttachOptions, parseAttachOptions, withAnnotations } from "../features/container/options.ts";

const stages = ["createRuntime", "prestart", "createContainer", "poststop", "auto"] as const;

/** Not a runtime's: createRuntime itself calls us so, to stay when it has returned (meeting.ts). */
const agent = "agent";

/** Refuses a stage that there is not, before anything is read. @throws UsageError */
export function checkStage(stage: string | undefined): void {
  if ([...stages, agent].some((known) => known === stage)) return;
  throw new UsageError(`Cannot act as hook "${stage ?? ""}": it is not one of ${stages.join(", ")}`);
}

/**
 * Acts as an OCI hook of a stage. The stage is an argument because runtimes do not agree on what `status` is when.
 * @param argv the stage, or `auto` where one command has to serve createRuntime and poststop; then network options, which outweigh annotations
 * @param stdin the container's state as JSON
 */
export async function hook(world: World, argv: readonly string[], stdin: string): Promise<void> {
  checkStage(argv[0]);
  const state = parseState(stdin);
  const directory = stateDirectory(world);
  // Runtimes show what a hook says only if it fails.
  const warn = (text: string) => {
    world.warn(text);
    note(world, directory, `${argv[0]} ${state.id} warns: ${text}`);
  };
  try {
    await act({ ...world, warn }, argv, state, directory, stdin);
  } catch (error) {
    note(world, directory, `${argv[0]} ${state.id}: ${messageOf(error)}`);
    throw error;
  }
}

async function act(
  world: World,
  argv: readonly string[],
  state: State,
  directory: string,
  stdin: string,
): Promise<void> {
  const [stage, ...words] = argv;
  switch (stage === "auto" ? stageOf(state) : stage as typeof stages[number] | typeof agent) {
    case "createRuntime":
    case "prestart":
      await collectOpportunistically(world, directory);
      if (mayEnter(world, state.pid)) return await connect(world, directory, state, givenOf(words, state));
      checkInjected(world, state);
      return await startHookHelper(world, directory, state.pid, [agent, ...words], stdin);
    case agent:
      return await serveContainerHook(
        ...[world, directory, state.pid] as const,
        (inside) => connect(world, directory, state, givenOf(words, state), inside),
      );
    case "createContainer":
      // What `inject` puts there is quicker (meeting.ts); elsewhere createRuntime has done all there is to do.
      return;
    case "poststop":
      await detach(world, directory, await idFromRuntime(world, directory, state.id));
      return await collectOpportunistically(world, directory);
  }
}

/** A container without a process has come to its end. */
function stageOf({ pid }: State): typeof stages[number] {
  return pid === 0 ? "poststop" : "createRuntime";
}

function givenOf(words: readonly string[], { annotations }: State): OptionValues {
  return withAnnotations(parseWords(words), annotations);
}

/** The container would not let us in. */
function checkInjected(world: World, state: State): void {
  const config = configOf(world, state);
  if (config && isInjected(config, "createContainer")) return;
  if (config && !hasUserNamespace(config)) {
    throw new Error(
      `Cannot attach container "${state.id}": it has no user namespace, without which only root can run it; ` +
        "runc spec --rootless makes a config.json that has one",
    );
  }
  throw new Error(
    `Cannot attach container "${state.id}": its init may not be looked into by an ordinary user, and its config.json ` +
      "has no createContainer hook that lets us in; ocinet inject puts one there",
  );
}

/** @param inside a process in the container's namespaces, where its first one may not be looked into yet */
async function connect(
  world: World,
  directory: string,
  state: State,
  given: OptionValues,
  inside = state.pid,
): Promise<void> {
  if (state.pid === 0) throw new Error(`Cannot attach container "${state.id}": its state has no "pid"`);
  const options = parseAttachOptions(given);
  const container = containerOfProcess(world, inside);
  checkNamespace(world, options, container, state);
  const config = configOf(world, state);
  checkHostname(config, options, state);
  const rootfs = rootfsOf(config, state, container);
  const id = await idFromRuntime(world, directory, state.id);
  await attach(world, directory, {
    id,
    ...(id === state.id ? {} : { runtimeId: state.id }),
    container,
    ...(inside === state.pid ? {} : { lasting: knownBy(world, container, state.pid) }),
    options,
    replace: true,
    ...(rootfs ? { rootfs } : {}),
    ...(switchesIpv6Off(config) ? { withoutIpv6: "later" as const } : {}),
    ...(typeof config?.["hostname"] === "string" ? { hostname: config["hostname"] } : {}),
  });
}

/** Mode `host` is what a runtime does, and not we. */
function checkNamespace(world: World, { mode }: AttachOptions, { identity }: Namespace, { id }: State): void {
  const isShared = identity === world.stat("/proc/self/ns/net")?.identity;
  if (mode.kind === "host" && !isShared) {
    throw new Error(
      `Cannot attach container "${id}" to the host's network: it has a network namespace of its own; take that out ` +
        '({"type": "network"} of linux.namespaces in config.json), as ocinet inject does, or use another --net',
    );
  }
  if (mode.kind !== "host" && isShared) {
    throw new Error(
      `Cannot attach container "${id}": it is in this very network namespace; give it one of its own ` +
        '(linux.namespaces in config.json needs {"type": "network"}), or use --net=host',
    );
  }
}

function configOf(world: World, { bundle }: State): Config | undefined {
  const path = `${bundle}/config.json`;
  const text = bundle.startsWith("/") ? world.read(path) : undefined;
  if (text === undefined) return undefined;
  try {
    return readConfig(text);
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${messageOf(error)}`);
  }
}

/** The root file system of a bundle, as its config.json names it. */
function rootfsOf(
  config: Config | undefined,
  { bundle }: State,
  container: Namespace,
): Rootfs | undefined {
  const path = config === undefined ? "" : rootPath(config);
  if (path === "") return undefined;
  const { pid } = container.init!;
  return { pid, enter: enterUser(container), path: path.startsWith("/") ? path : `${bundle}/${path}` };
}

/** A runtime sets the config's host name once its hooks have run, over ours. */
function checkHostname(config: Config | undefined, { files }: AttachOptions, { id }: State): void {
  const own = config?.["hostname"];
  if (files.hostname === undefined || typeof own !== "string" || own === "" || own === files.hostname) return;
  throw new Error(
    `Cannot name container "${id}" "${files.hostname}": its config.json has hostname "${own}", which the runtime sets ` +
      "after us; take that out, or let ocinet inject --hostname set it",
  );
}
