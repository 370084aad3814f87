import { messageOf } from "../wire/cni/error.ts";
import { UsageError } from "../wire/oci/options.ts";

/** What reading the words of a command line gives; what is wrong with them is wrong use. @throws UsageError */
export function asTyped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}
