import { jsonProblem } from "../../net/json_problem.ts";

/** A bundle's config.json as parsed JSON. */
export type Config = Readonly<Record<string, unknown>>;

/** A hook's entry (runtime-spec, "POSIX-platform Hooks"). */
export interface HookEntry {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

const tokens = /"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/g;
const numberMark = "\0number ";

/**
 * Reads a config.json. Numbers that JavaScript cannot represent are kept as text: a limit of 18446744073709551615 is
 * common, and a runtime refuses 18446744073709552000.
 * @throws Error if it is not JSON, or not an object
 */
export function parseConfig(text: string): Config {
  readConfig(text);
  const exact = text.replace(
    tokens,
    (token) =>
      token.startsWith('"') || String(Number(token)) === token ? token : JSON.stringify(numberMark + token),
  );
  return JSON.parse(exact);
}

/** Reads a config.json that will not be written again. @throws Error if it is not JSON, or not an object */
export function readConfig(text: string): Config {
  let plain: unknown;
  try {
    plain = JSON.parse(text);
  } catch {
    throw new Error(`it is not JSON: ${jsonProblem(text)}`);
  }
  if (typeof plain === "object" && plain !== null && !Array.isArray(plain)) return plain as Config;
  throw new Error("it is not a JSON object");
}

/** The text of a config.json, with the indentation and the final newline of the text `like`. */
export function formatConfig(config: Config, like: string): string {
  const indent = /^\s*\{\s*\n([ \t]+)"/.exec(like)?.[1];
  const text = JSON.stringify(config, null, indent)
    .replace(/"\\u0000number ([^"]*)"/g, (_, number: string) => number);
  return like.endsWith("\n") ? `${text}\n` : text;
}

/** Marks our own hook entries. A hook gets exactly the environment that its entry lists. */
export const hookMark = "OCINET_HOOK=1";

/** In our entries' environment: the host name of the config before we changed it. */
const hostnameBefore = "OCINET_HOSTNAME_BEFORE=";

/**
 * In our entries' environment: the network namespace's entry and position, as JSON, before we removed it; `null` if we
 * added one.
 */
const networkBefore = "OCINET_NETWORK_BEFORE=";

/** The stages at which we are called. Older versions also used the last two, and their entries are removed. */
const stages = ["createRuntime", "poststop", "prestart", "createContainer"] as const;

/**
 * Adds our hooks to a config, and a network namespace; for mode `host` the namespace is removed instead. Earlier
 * entries of ours are replaced. Everything else is kept.
 */
export function withHooks(
  config: Config,
  entries: Readonly<Record<string, HookEntry>>,
  { ownNamespace, hostname }: { readonly ownNamespace: boolean; readonly hostname?: string },
): Config {
  const bare = withoutHooks(config);
  const hooks = asObject(bare["hooks"]);
  const network = networkOf(bare);
  const env = [
    // The runtime sets the host name from the config after its hooks, so a hook cannot set it.
    ...(hostname === undefined ? [] : [`${hostnameBefore}${bare["hostname"] ?? ""}`]),
    ...((network === null) === ownNamespace ? [`${networkBefore}${JSON.stringify(network)}`] : []),
  ];
  const added = Object.entries(entries).map(([stage, entry]) =>
    [stage, [...asList(hooks[stage]), { ...entry, env: [...entry.env, ...env] }]] as const
  );
  return {
    ...withNamespace(bare, ownNamespace),
    ...(hostname === undefined ? {} : { hostname }),
    hooks: { ...hooks, ...Object.fromEntries(added) },
  };
}

/**
 * The config before our hooks were added: with its own host name, and with or without a network namespace as it was.
 */
export function withoutHooks(config: Config): Config {
  const [hostname, network] = [saved(config, hostnameBefore), saved(config, networkBefore)];
  const bare = dropHooks(config);
  const named = hostname === undefined ? bare : withHostname(bare, hostname);
  return network === undefined ? named : withNetwork(named, JSON.parse(network));
}

/** Whether a stage has an entry of ours. */
export function isInjected(config: Config, stage: typeof stages[number]): boolean {
  return asList(asObject(config["hooks"])[stage]).some(isOurs);
}

/** The problem of a field that we would overwrite, if its type is not that of the runtime-spec; otherwise undefined. */
export function oddPart(config: Config): string | undefined {
  const { linux, hooks } = config;
  const namespaces = asObject(linux)["namespaces"];
  const odd = [
    isNot("an object", linux, "linux"),
    isNot("a list", namespaces, "linux.namespaces"),
    isNot("an object", hooks, "hooks"),
    ...stages.map((stage) => isNot("a list", asObject(hooks)[stage], `hooks.${stage}`)),
  ];
  return odd.find((problem) => problem !== undefined);
}

function isNot(kind: "an object" | "a list", value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const isRight = typeof value === "object" && Array.isArray(value) === (kind === "a list");
  return isRight ? undefined : `its "${name}" is not ${kind}; the runtime would refuse it`;
}

/** Whether the container has a user namespace. */
export function hasUserNamespace(config: Config): boolean {
  return namespacesOf(config).some((entry) => asObject(entry)["type"] === "user");
}

function saved(config: Config, name: string): string | undefined {
  const env = Object.values(asObject(config["hooks"])).flatMap(asList).filter(isOurs)
    .flatMap((entry) => asList(asObject(entry)["env"]).map(String));
  return env.find((line) => line.startsWith(name))?.slice(name.length);
}

function withHostname(config: Config, hostname: string): Config {
  const { hostname: _, ...rest } = config;
  return hostname === "" ? rest : { ...config, hostname };
}

/** The network namespace's entry and its position in the list. */
type Network = readonly [place: number, entry: unknown] | null;

function networkOf(config: Config): Network {
  const namespaces = namespacesOf(config);
  const place = namespaces.findIndex(isNetwork);
  return place < 0 ? null : [place, namespaces[place]];
}

/** Restores the saved entry, unless the config has another one by now. */
function withNetwork(config: Config, network: Network): Config {
  const namespaces = namespacesOf(config);
  if (network === null) {
    const isMade = (entry: unknown) => isNetwork(entry) && Object.keys(asObject(entry)).length === 1;
    return withNamespaces(config, namespaces.filter((entry) => !isMade(entry)));
  }
  const [place, entry] = network;
  return namespaces.some(isNetwork)
    ? config
    : withNamespaces(config, [...namespaces.slice(0, place), entry, ...namespaces.slice(place)]);
}

/** Removes our entries. A list or object that becomes empty is removed too. */
function dropHooks(config: Config): Config {
  const all = Object.entries(asObject(config["hooks"]));
  const isCalled = (stage: string, entries: unknown) =>
    (stages as readonly string[]).includes(stage) && asList(entries).some(isOurs);
  if (!all.some(([stage, entries]) => isCalled(stage, entries))) return config;
  const kept = all.flatMap(([stage, entries]) => {
    if (!isCalled(stage, entries)) return [[stage, entries] as const];
    const others = asList(entries).filter((entry) => !isOurs(entry));
    return others.length === 0 ? [] : [[stage, others] as const];
  });
  const { hooks: _, ...rest } = config;
  return kept.length === 0 ? rest : { ...config, hooks: Object.fromEntries(kept) };
}

function isOurs(entry: unknown): boolean {
  return asList(asObject(entry)["env"]).includes(hookMark);
}

function withNamespace(config: Config, wanted: boolean): Config {
  const namespaces = namespacesOf(config);
  if (namespaces.some(isNetwork) === wanted) return config;
  return withNamespaces(
    config,
    wanted ? [...namespaces, { type: "network" }] : namespaces.filter((entry) => !isNetwork(entry)),
  );
}

function namespacesOf(config: Config): readonly unknown[] {
  return asList(asObject(config["linux"])["namespaces"]);
}

function withNamespaces(config: Config, namespaces: readonly unknown[]): Config {
  return { ...config, linux: { ...asObject(config["linux"]), namespaces } };
}

function isNetwork(entry: unknown): boolean {
  return asObject(entry)["type"] === "network";
}

/** The annotations as the runtime passes them to hooks. The runtime refuses values that are not strings. */
export function annotationsOf(config: Config): Readonly<Record<string, string>> {
  const annotations = Object.entries(asObject(config["annotations"]));
  return Object.fromEntries(
    annotations.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** The path of the root file system as written in the config: absolute, or relative to the bundle. */
export function rootPath(config: Config): string {
  const path = asObject(config["root"])["path"];
  return typeof path === "string" ? path : "";
}

/** An object, or an empty one for anything else. */
export function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Whether a bundle's config.json switches IPv6 off. The runtime sets its sysctls after its hooks, over ours. Runtimes take
 * slashes in place of dots, and the kernel any number but 0.
 */
export function switchesIpv6Off(config: Config | undefined): boolean {
  return Object.entries(asObject(asObject(config?.["linux"])["sysctl"])).some(([key, value]) =>
    key.replaceAll("/", ".") === "net.ipv6.conf.all.disable_ipv6" && typeof value === "string" &&
    Number(value) !== 0
  );
}
