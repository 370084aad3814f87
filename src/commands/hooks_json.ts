import { annotationPrefix, type OptionValues } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { parseAttachOptions } from "../features/container/options.ts";
import { hookEntries } from "./hook_entry.ts";
import type { Report } from "./report.ts";
import { asTyped } from "../engine/usage.ts";

/** A file for a hooks.d directory (oci-hooks(5)): it has one command for all its stages, so ours is `hook auto`. */
export function hooksJson(world: World, given: OptionValues, always: boolean): Promise<Report> {
  asTyped(() => parseAttachOptions(given));
  const { createRuntime } = hookEntries(world, given);
  const when = always
    ? { always: true }
    : { annotations: { [`^${annotationPrefix.replaceAll(".", "\\.")}`]: "." } };
  const args = createRuntime!.args.map((word) => word === "createRuntime" ? "auto" : word);
  const json = {
    version: "1.0.0",
    hook: { ...createRuntime!, args },
    when,
    stages: ["createRuntime", "poststop"],
  };
  return Promise.resolve({ json, text: `${JSON.stringify(json, null, 2)}\n` });
}
