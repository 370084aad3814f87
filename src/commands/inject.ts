import { messageOf } from "../wire/cni/error.ts";
import {
  annotationsOf,
  type Config,
  formatConfig,
  hasUserNamespace,
  oddPart,
  parseConfig,
  rootPath,
  withHooks,
  withoutHooks,
} from "../wire/oci/config.ts";
import type { OptionValues } from "../wire/oci/options.ts";
import { absolutePath } from "../plan/files.ts";
import type { World } from "../plan/world.ts";
import { type BundleConfig, openBundleConfig } from "../features/container/bundle.ts";
import { mountProblem } from "../features/container/file_mounts.ts";
import { chooseNetworks, loadNetworks } from "../features/networks/networks.ts";
import { isRoot } from "../engine/user.ts";
import { type AttachOptions, parseAttachOptions, withAnnotations } from "../features/container/options.ts";
import { hookEntries, insideEntry } from "./hook_entry.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** How to change a bundle. */
export interface InjectOptions {
  readonly given: OptionValues;
  readonly remove?: boolean;
  readonly print?: boolean;
  readonly dryRun?: boolean;
}

/**
 * Makes a bundle's config.json call this file, or no longer. What is written means what it meant before in all else.
 * @throws Error when there is no such bundle, or what is asked for cannot work
 */
export function inject(world: World, bundle: string, options: InjectOptions): Promise<Report> {
  asTyped(() => parseAttachOptions(options.given));
  const file = openBundleConfig(world, bundle);
  try {
    return Promise.resolve(change(world, bundle, file, options));
  } finally {
    file.release();
  }
}

function change(world: World, bundle: string, file: BundleConfig, options: InjectOptions): Report {
  const config = parse(file);
  const odd = oddPart(config);
  if (odd) throw new Error(`Cannot change ${file.path}: ${odd}`);
  const rootfs = rootfsOf(world, bundle, config);
  const wanted = options.remove ? undefined : attachOptionsOf(world, config, options.given);
  const changed = wanted ? add(world, rootfs, config, options.given, wanted) : withoutHooks(config);
  const result = formatConfig(changed, file.text);
  const show = options.print || options.dryRun;
  if (!show && JSON.stringify(changed) !== JSON.stringify(config)) file.replace(result);
  const note = wanted && (userProblem(world, config) ?? namesProblem(world, rootfs, wanted));
  return {
    ...{ json: changed, text: show ? result : "", dryText: result },
    ...(note === undefined ? {} : { note }),
  };
}

function parse({ path, text }: BundleConfig): Config {
  try {
    return parseConfig(text);
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${messageOf(error)}`);
  }
}

function rootfsOf(world: World, bundle: string, config: Config): string {
  const root = rootPath(config);
  return root.startsWith("/") ? root : `${absolutePath(world, bundle)}/${root}`;
}

/** What is wanted by options, and for what they do not say by annotations. @throws Error for what there is not */
function attachOptionsOf(world: World, config: Config, given: OptionValues): AttachOptions {
  const wanted = parseAttachOptions(withAnnotations(given, annotationsOf(config)));
  chooseNetworks(
    wanted.mode.kind === "contained" ? loadNetworks(world, wanted.netDirectories, wanted.mode) : [],
    wanted.mode,
  );
  return wanted;
}

function add(
  world: World,
  rootfs: string,
  config: Config,
  given: OptionValues,
  wanted: AttachOptions,
): Config {
  checkFiles(world, rootfs, wanted);
  const { hostname } = wanted.files;
  const entries = {
    ...hookEntries(world, given),
    ...(hasUserNamespace(config) ? insideEntry(world) : {}),
  };
  return withHooks(config, entries, {
    ownNamespace: wanted.mode.kind !== "host",
    ...(hostname === undefined ? {} : { hostname }),
  });
}

/** A file can be mounted only over one that is there; better said now than when the container starts. */
function checkFiles(world: World, rootfs: string, { files }: AttachOptions): void {
  const names = [
    ...(files.resolv === "network" || files.resolv === "none" ? [] : ["resolv.conf"]),
    ...(files.hosts === undefined ? [] : ["hosts"]),
  ];
  for (const name of names) {
    const problem = mountProblem(world, rootfs, name);
    if (problem) throw new Error(`Cannot provide /etc/${name} in ${rootfs}: ${problem}`);
  }
}

/** Without a user namespace only root can make a container's network namespace. */
function userProblem(world: World, config: Config): string | undefined {
  if (isRoot(world) || hasUserNamespace(config)) return undefined;
  return "Only root can run this bundle, because it has no user namespace: " +
    "runc spec --rootless makes a config.json that you can run";
}

/** Without root every uplink has a resolver, of which such a container would not be told. */
function namesProblem(world: World, rootfs: string, { mode, files }: AttachOptions): string | undefined {
  if (isRoot(world) || mode.kind !== "contained" || files.resolv !== "network") return undefined;
  const problem = mountProblem(world, rootfs, "resolv.conf");
  return problem &&
    `The container will not be told of name servers: /etc/resolv.conf in ${rootfs}: ${problem}`;
}
