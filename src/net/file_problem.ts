/** What stat(2) calls the kinds of files, by the bits of S_IFMT. */
const kinds: Readonly<Record<number, string>> = {
  0o010000: "a pipe (FIFO)",
  0o020000: "a character device",
  0o040000: "a directory",
  0o060000: "a block device",
  0o140000: "a socket",
};

/** The error for a file that is not read, by its mode. */
export function fileProblem(path: string, mode: number): string {
  const kind = kinds[mode & 0o170000];
  const [, id] = /\/containers\/([^/]+)\/container\.json$/.exec(path) ?? [];
  const remedy = id === undefined ? "remove it" : `ocinet down ${id} takes away what is found by its name`;
  return `Cannot read ${path}: it is ${
    kind ? `${kind}, not a regular file` : "larger than 16 MiB"
  }; ${remedy}`;
}
