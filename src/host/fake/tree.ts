/** Files and directories in memory, with the inode, mode and content of each. */

/** An entry of the tree. The text of a symbolic link is its target. */
export interface Entry {
  readonly kind: "file" | "directory" | "symlink" | "pipe";
  readonly text: string;
  readonly mode: number;
  readonly inode: number;
  readonly modified: number;
}

/** An error as both runtimes throw it, with the kernel's code. */
export function failure(code: string, words: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${words}, '${path}'`), { code });
}

/** Files by path, and the names in each directory, so that a listing costs only what it returns. */
export class Tree {
  #entries = new Map<string, Entry>();
  #names = new Map<string, Set<string>>();
  #inode = 1;

  /** An independent copy. */
  copy(): Tree {
    const tree = new Tree();
    tree.#entries = new Map(this.#entries);
    tree.#names = new Map([...this.#names].map(([path, names]) => [path, new Set(names)]));
    tree.#inode = this.#inode;
    return tree;
  }

  entry(path: string): Entry | undefined {
    return path === "" || path === "/" ? root : this.#entries.get(path);
  }

  names(path: string): readonly string[] {
    return [...this.#names.get(path) ?? []];
  }

  /** All files with their contents. */
  files(): readonly (readonly [path: string, text: string])[] {
    return [...this.#entries].filter(([, { kind }]) => kind === "file").map((
      [path, { text }],
    ) => [path, text]);
  }

  /** Everything except directories, one a line, sorted. */
  lines(): readonly string[] {
    return [...this.#entries].filter(([, { kind }]) => kind !== "directory")
      .map(([path, { text, mode }]) => `file ${path} ${mode.toString(8)} ${JSON.stringify(text)}`);
  }

  /** The empty directories, one a line, sorted. The others show in the paths of their entries. */
  emptyDirectories(): readonly string[] {
    return [...this.#entries].filter(([path, { kind }]) =>
      kind === "directory" && this.names(path).length === 0
    )
      .map(([path]) => `directory ${path}`);
  }

  /** Creates or replaces a file. Its directory must exist. */
  write(path: string, text: string, mode: number, kind: "file" | "symlink" | "pipe" = "file"): void {
    this.#needDirectory(path);
    if (this.entry(path)?.kind === "directory") throw failure("EISDIR", "is a directory", path);
    this.#put(path, { kind, text, mode, inode: this.#inode++, modified: this.#inode });
  }

  /** Replaces the text of an existing file. */
  rewrite(path: string, text: string): void {
    const entry = this.entry(path);
    if (entry?.kind !== "file") throw failure("ENOENT", "no such file or directory", path);
    this.#put(path, { ...entry, text, modified: entry.modified + 1 });
  }

  makeDirectory(path: string, mode = 0o700): void {
    if (this.entry(path)?.kind === "directory") return;
    if (this.entry(path)) throw failure("EEXIST", "file already exists", path);
    this.makeDirectory(parentOf(path), mode);
    this.#put(path, { kind: "directory", text: "", mode, inode: this.#inode++, modified: 1 });
  }

  remove(path: string): void {
    this.names(path).forEach((name) => this.remove(`${path}/${name}`));
    this.#entries.delete(path);
    this.#names.delete(path);
    this.#names.get(parentOf(path))?.delete(path.slice(path.lastIndexOf("/") + 1));
  }

  removeEmpty(path: string): void {
    if (this.entry(path)?.kind === "directory" && this.names(path).length === 0) this.remove(path);
  }

  #needDirectory(path: string): void {
    if (this.entry(parentOf(path))?.kind !== "directory") {
      throw failure("ENOENT", "no such file or directory", path);
    }
  }

  #put(path: string, entry: Entry): void {
    this.#entries.set(path, entry);
    const parent = parentOf(path);
    if (!this.#names.has(parent)) this.#names.set(parent, new Set());
    this.#names.get(parent)!.add(path.slice(path.lastIndexOf("/") + 1));
  }
}

const root: Entry = { kind: "directory", text: "", mode: 0o755, inode: 0, modified: 1 };

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
