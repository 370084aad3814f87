import { explain, isOfLinks } from "../../engine/step_error.ts";
import { staleness } from "../../engine/namespace.ts";
import { containerIds, type Namespace, pluginKeys, readPlugin, readUndamaged } from "../../engine/record.ts";
import type { World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";

/** A container whose attaching failed. */
interface Failed {
  readonly id: string;
  readonly container: Namespace;
}

/**
 * The reason why a container could not be attached, as text for the user. If another container shares its network
 * namespace, that is the reason: a namespace has only one eth0. This is checked only after a failure, because all
 * records must be read.
 */
export function explainShared(world: World, state: string, failed: Failed, error: unknown): unknown {
  const explained = explain(error);
  const other = isOfLinks(error) ? ownerOf(world, state, failed) : undefined;
  if (other === undefined) return explained;
  const remedy = readUndamaged(world, state, other)
    ? `take it down first: ocinet down ${other}`
    : "have its CNI runtime delete it";
  return new Error(
    `Cannot attach container "${failed.id}": container "${other}" has its network namespace, and is attached already; ` +
      `attach only that one, or ${remedy} (${messageOf(explained)})`,
  );
}

function ownerOf(world: World, state: string, { id, container }: Failed): string | undefined {
  return containerIds(world, state).find((other) => {
    if (other === id) return false;
    const record = readUndamaged(world, state, other);
    const own = record?.phase === "done" && record.attachments.length > 0 ? [record] : [];
    const plugins = record ? [] : pluginKeys(world, state, other).map((key) => readPlugin(world, state, key));
    return [...own, ...plugins].some((one) =>
      one?.container.identity === container.identity && staleness(world, one) === undefined
    );
  });
}
