import { allPluginKeys, readPlugin } from "../../engine/record.ts";
import { isOfLinks } from "../../engine/step_error.ts";
import { otherWith } from "../../engine/taken.ts";
import { parseMac } from "../../net/names.ts";
import { CniError } from "../../wire/cni/error.ts";
import { isRenaming } from "../../plan/ip.ts";
import { show, type Step } from "../../plan/step.ts";
import { asCniError, type Context } from "./call.ts";

/** The reason why an ADD failed: it names the container that has an interface of this name in the namespace. */
export function explainSharedLink(
  { world, state, key: { id, ifname }, container }: Pick<Context, "world" | "state" | "key" | "container">,
  error: unknown,
): unknown {
  if (!isOfLinks(error)) return error;
  const other = allPluginKeys(world, state).find((key) =>
    key.id !== id && key.ifname === ifname &&
    readPlugin(world, state, key)?.container.identity === container.identity
  );
  if (other === undefined) return error;
  const { message, details } = asCniError(error);
  return new CniError(
    "internal",
    `Cannot attach "${ifname}" of container "${id}": container "${other.id}" has its network namespace, and an ` +
      `"${ifname}" in it; attach only that one, or take it down first`,
    `${message}: ${details}`,
  );
}

/** The reason why a device or a master is not there, if a container has it. */
export function explainAbsent({ world, conf }: Context, error: unknown): unknown {
  const asked = ["device", "hwaddr", "kernelpath", "pciBusID", "master"].map((key) => conf.string(key))
    .concat(conf.object("runtimeConfig")?.string("deviceID"))
    .map((word) => parseMac(word ?? "") ?? word?.split("/").at(-1));
  const who = error instanceof CniError && otherWith(world, [], ({ id, ...step }) => {
    const text = id.kind === "command" && id.what.startsWith("give ") ? JSON.stringify(step) : "";
    return asked.some((word) => text.includes(`"${word}"`) || text.includes(`/${word}"`));
  });
  return who ? new CniError("internal", `${error.message}: ${who} has it; end that container first`) : error;
}

/**
 * A bridge that an administrator has renamed gets its name back. But where containers know it by the name that it has, the
 * configuration has another one since, and rules of these containers would lose their bridge.
 * @throws CniError in that case
 */
export function refuseRenaming({ world }: Context, steps: readonly Step[]): void {
  for (const step of steps.filter(isRenaming)) {
    const [, old, bridge] = / dev (\S+) name (\S+)/.exec(show([step])) ?? [];
    const who = otherWith(world, [], ({ id }) => id.kind === "link" && id.master === old);
    if (who === undefined) continue;
    throw new CniError(
      "invalidConfig",
      `Cannot use bridge ${bridge}: ${who} is on ${old}, the bridge of this network; keep that name, or end that container first`,
    );
  }
}
