/** Node's modules and what tells its errors apart. Deno reads this file too, and must not pay for the modules. */

/** Node's modules, loaded when first wanted: Deno reads this file too, and must not pay for them. */
export function builtin<T>(name: string): T {
  return process.getBuiltinModule(name as "node:fs") as T;
}

export function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // ESRCH: of a process that ends while its file in /proc is open.
    if (["ENOENT", "ENOTDIR", "ESRCH"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}
