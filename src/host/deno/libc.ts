/** Functions of the C library that Deno has no API for. */

const symbols = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

let libc: Deno.StaticForeignLibraryInterface<typeof symbols> | undefined;

/** The C library's file by the name of glibc, and of musl. */
export const libcNames = () => ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`];

/** Whether the C library is there. */
export function hasLibc(): boolean {
  for (const name of libcNames()) {
    try {
      libc ??= Deno.dlopen(name, symbols).symbols;
      return true;
    } catch { /* Then by the next one. */ }
  }
  return false;
}

/** open(2). Call it only after `hasLibc`. @returns a descriptor, or a negative number */
export function open(path: string, flags: number): number {
  return libc!.open(new TextEncoder().encode(`${path}\0`), flags, 0);
}

/** close(2). Call it only after `hasLibc`. */
export function close(descriptor: number): void {
  libc!.close(descriptor);
}

/** sigwait(3) of glibc, or of musl by the name that it has under glibc's names. */
export function openSigwait() {
  const functions = {
    sigwait: { parameters: ["buffer", "buffer"], result: "i32", nonblocking: true },
  } as const;
  try {
    return Deno.dlopen("libc.so.6", functions);
  } catch {
    return Deno.dlopen("libc.so", functions);
  }
}
