import type { OptionValues } from "../../wire/oci/options.ts";
import { parseService, type Service } from "./services.ts";

/** The options of a member of a service. */
export const serviceOptions = ["service", "publish-mesh", "affinity"];

/** What a container is to be a member of, if anything. @throws Error naming the option and the reason */
export function serviceOf(given: OptionValues): { readonly service?: Service } {
  return serviceOptions.some((name) => given.has(name)) ? { service: parseService(given) } : {};
}
