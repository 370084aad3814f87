/**
 * The shell blocks of a page in Markdown. ```sh has commands alone. In ```console a line that begins with "# " is typed as
 * root, with "$ " as an ordinary user, "> " goes on with it, and other lines are what it prints. A block without a language
 * right after a ```sh is the end of what that one prints. Comments in front of a block say how it is run:
 *
 *   <!-- not run: REASON -->   it is only read
 *   <!-- before: COMMANDS -->  what the page takes for granted, run before it as the same user
 *   <!-- user -->              a ```sh of an ordinary user's
 *   <!-- background -->        it ends with the page: a server
 *   <!-- fails -->             its last command fails
 */

/** What is typed at once: one command, or a block of them. */
export interface Command {
  /** The line of the page where it begins, from 1. */
  readonly line: number;
  readonly text: string;
  readonly as: "root" | "user";
  /** What it prints; absent: the page does not say. */
  readonly expected?: string;
  readonly isBackground: boolean;
  readonly isHidden: boolean;
  readonly fails: boolean;
}

interface Fence {
  readonly line: number;
  readonly language: string;
  readonly lines: readonly string[];
  /** The comments right before it. */
  readonly comments: readonly string[];
  /** Nothing but empty lines is between it and the fence before it. */
  readonly follows: boolean;
}

/** What a page has its reader do, in order. @throws Error for a comment that is not known */
export function commandsOf(page: string): readonly Command[] {
  const all: Command[] = [];
  let before: Fence | undefined;
  for (const fence of fencesOf(page)) {
    const last = all.at(-1);
    if (fence.language === "" && fence.follows && before?.language === "sh" && last !== undefined) {
      if (!isNotRun(before)) all[all.length - 1] = { ...last, expected: ["…", ...fence.lines].join("\n") };
    } else if (/^(sh|console)$/.test(fence.language) && !isNotRun(fence)) all.push(...runOf(fence));
    before = fence;
  }
  return all;
}

/** Reasons for which blocks are not run, a line each. */
export function notRun(page: string): readonly string[] {
  return fencesOf(page).filter(isNotRun).map(({ line, comments }) =>
    `${line}: ${comments.join(" ").replace(/^.*not run: /, "")}`
  );
}

function isNotRun({ comments }: Fence): boolean {
  return comments.some((comment) => comment.startsWith("not run: "));
}

function runOf(fence: Fence): readonly Command[] {
  const { comments, line, language } = fence;
  for (const comment of comments) {
    if (!/^(before: [^]+|user|background|fails)$/.test(comment)) {
      throw new Error(`Cannot read line ${line}: "${comment}" says nothing of how a block is run`);
    }
  }
  const has = (word: string) => comments.includes(word);
  const as = has("user") ? "user" : "root";
  const common = { isBackground: has("background"), isHidden: false, fails: has("fails") };
  const hidden = comments.filter((comment) => comment.startsWith("before: ")).map((comment): Command => ({
    ...{ line, text: comment.replace(/^before: /, ""), as: language === "console" ? "root" : as },
    ...{ isBackground: false, isHidden: true, fails: false },
  }));
  if (language === "sh") return [...hidden, { line, text: fence.lines.join("\n"), as, ...common }];
  const typed = session(fence);
  return [
    ...hidden,
    ...typed.map((one, i) => ({ ...one, ...common, fails: common.fails && i === typed.length - 1 })),
  ];
}

/** The commands of a ```console with what each prints. */
function session({ lines, line }: Fence) {
  const found: { line: number; text: string; as: "root" | "user"; expected: string }[] = [];
  lines.forEach((text, i) => {
    const prompt = /^([#$]) (.*)$/.exec(text);
    const last = found.at(-1);
    if (prompt) {
      found.push({
        line: line + 1 + i,
        text: prompt[2]!,
        as: prompt[1] === "#" ? "root" : "user",
        expected: "",
      });
    } else if (!last) throw new Error(`Cannot read line ${line + 1 + i}: no command is before "${text}"`);
    else if (text.startsWith("> ") && last.expected === "") last.text += `\n${text.slice(2)}`;
    else last.expected += last.expected === "" ? text : `\n${text}`;
  });
  return found;
}

function fencesOf(page: string): readonly Fence[] {
  const lines = page.split("\n");
  const found: Fence[] = [];
  let comments: string[] = [];
  let follows = false;
  for (let i = 0; i < lines.length; i++) {
    const comment = /^<!-- ([^]*?) -->/.exec(lines.slice(i, i + 12).join("\n"));
    const fence = /^```(\w*)$/.exec(lines[i]!);
    if (comment) {
      comments.push(comment[1]!);
      i += comment[0].split("\n").length - 1;
    } else if (fence) {
      const end = lines.indexOf("```", i + 1);
      found.push({ line: i + 1, language: fence[1]!, lines: lines.slice(i + 1, end), comments, follows });
      [i, comments, follows] = [end, [], true];
    } else if (lines[i]!.trim() !== "") [comments, follows] = [[], false];
  }
  return found;
}

/**
 * Whether what was printed is what a page says, but for what differs each time: numbers of processes, names that are
 * hashes, and the width of gaps. In a page "…" stands for anything in a line, and alone for any lines.
 */
export function isAsSaid(expected: string, printed: string): boolean {
  const pattern = plain(expected).split("\n").map((line) =>
    line === "…" ? "(?:.*\\n)*" : `${line.split("…").map(escapeRegExp).join(".*")}\\n`
  );
  return new RegExp(`^${pattern.join("")}$`).test(`${plain(printed)}\n`);
}

function plain(text: string): string {
  return text.trimEnd().split("\n").map((line) =>
    line.replace(/^host \S+$/, "host N").replace(/\b(veth|br-|run-|pid-|ov|vx)[0-9a-f]{2,}\b/g, "$1N")
      .replace(/\b[0-9a-f]{64}\b/g, "ID")
      .replace(/─+/g, "─").replace(/[ \t]+/g, " ").trim()
  ).join("\n");
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
