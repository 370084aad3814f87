/**
 * Notes of the addresses that plugins of Docker's have given. Containers' records are gone after a reboot, and a plugin may
 * keep its addresses: then the notes say what to give back. They are files DIRECTORY/MACHINE.BOOT.HASH.
 */
import { messageOf } from "../../wire/cni/error.ts";
import { digest } from "../../net/names.ts";
import { type Claim, claim } from "../../plan/step.ts";
import { createWithDirectory } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { activatePlugin, callPlugin, isUnreachable } from "../../plan/docker_plugins.ts";

/** It outlives a reboot. */
const directory = "/var/lib/ocinet/leases";

interface Note {
  readonly plugin: string;
  /** What gives the address back: a method's name, a blank and its JSON. */
  readonly undo: string;
}

/** Notes a lease. @returns the note, which goes with the lease; nothing where no note can be written */
export async function noteLease(world: World, note: Note): Promise<readonly Claim[]> {
  const boot = bootOf(world);
  if (boot === undefined) return [];
  const text = JSON.stringify(note);
  const path = `${directory}/${boot.machine}.${boot.id}.${(await digest(text)).slice(0, 32)}`;
  try {
    createWithDirectory(world, path, text);
    return [claim(path, text)];
  } catch {
    // It is not needed before the next boot: on a full or read-only disk the container starts without it.
    return [];
  }
}

/** What was given back to plugins, and what could not be. */
export interface Released {
  readonly released: readonly string[];
  readonly problems: readonly string[];
}

/** Gives back the addresses that containers of earlier boots had. @param only of this plugin alone */
export async function releaseOutlived(world: World, only?: string): Promise<Released> {
  const [released, problems]: [string[], string[]] = [[], []];
  const boot = bootOf(world);
  if (boot === undefined) return { released, problems };
  const [ofMachine, ofBoot] = [`${boot.machine}.`, `${boot.machine}.${boot.id}.`];
  const isEarlier = (name: string) => name.startsWith(ofMachine) && !name.startsWith(ofBoot);
  for (const name of world.list(directory).filter(isEarlier)) {
    const path = `${directory}/${name}`;
    const note = parseNote(world.read(path));
    if (only !== undefined && note?.plugin !== only) continue;
    try {
      await alone(world, `${directory}/.${name}.${boot.id}`, async () => {
        // Another process may have given it back meanwhile.
        if (world.stat(path) === undefined) return;
        if (note) await release(world, note);
        world.remove(path);
        if (note) released.push(`plugin ${note.plugin}: ${note.undo.slice(note.undo.indexOf("{"))}`);
      });
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  world.removeEmpty(directory);
  return { released, problems };
}

/**
 * Acts unless another process does: an address that is given back twice may be another container's by then. The token's
 * name has this boot's id, so that one that is left by a killed process holds up nothing after the next.
 */
async function alone(world: World, token: string, act: () => Promise<void>): Promise<void> {
  if (!world.create(token, "")) return;
  try {
    await act();
  } finally {
    world.remove(token);
  }
}

/** A plugin that refuses does not know the address any more. @throws Error if it does not answer */
async function release(world: World, { plugin, undo }: Note): Promise<void> {
  try {
    await activatePlugin(world, plugin, "IpamDriver");
    await callPlugin(world, plugin, undo);
  } catch (error) {
    if (isUnreachable(error)) throw error;
  }
}

function parseNote(text = ""): Note | undefined {
  try {
    const { plugin, undo } = JSON.parse(text) as Note;
    return typeof plugin === "string" && /^IpamDriver\.ReleaseAddress \{.*\}$/s.test(undo)
      ? { plugin, undo }
      : undefined;
  } catch {
    return undefined;
  }
}

function bootOf(world: World): { readonly machine: string; readonly id: string } | undefined {
  const [machine, id] = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].map((path) =>
    world.read(path)?.trim()
  );
  return machine && id ? { machine, id } : undefined;
}
