import { ownProcess } from "./runtime.ts";

/** A terminal that a program draws on, and reads keys from. */
export interface Terminal {
  size(): { readonly columns: number; readonly rows: number };
  print(text: string): void;
  /** From now on keys are told one by one, Ctrl-C among them, until the function that this returns is called. */
  onKey(tell: (key: string) => void): () => void;
}

/** The terminal of this process, by Node's layer, which Deno has as well. */
export function ownTerminal(): Terminal {
  const { stdin, stdout } = process;
  return {
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    print: (text) => ownProcess.print("stdout", text),
    onKey: (tell) => {
      if (!stdin.isTTY) return () => {};
      stdin.setRawMode(true).on("data", (keys) => tell(String(keys)));
      return () => void stdin.setRawMode(false).pause();
    },
  };
}
