import assert from "node:assert/strict";
import { test } from "node:test";
import { commandsOf, isAsSaid, notRun } from "./blocks.ts";

test("blocks of a page are commands, as whom and with what they print", () => {
  const page = `
<!-- before: mkdir x
touch x/y -->
<!-- user -->
\`\`\`sh
a \\
  b
\`\`\`

\`\`\`
out
\`\`\`

<!-- fails -->
\`\`\`console
# c <<EOF
> d
> EOF
one
two
$ e
\`\`\`
<!-- not run: it takes a second machine -->
\`\`\`sh
f
\`\`\`
\`\`\`json
{}
\`\`\`
`;
  assert.deepEqual(
    commandsOf(page).map(({ line, text, as, expected, isHidden, fails }) => [
      ...[line, as, text, expected, isHidden, fails],
    ]),
    [
      [5, "user", "mkdir x\ntouch x/y", undefined, true, false],
      [5, "user", "a \\\n  b", "…\nout", false, false],
      [16, "root", "c <<EOF\nd\nEOF", "one\ntwo", false, false],
      [21, "user", "e", "", false, true],
    ],
  );
  assert.deepEqual(notRun(page), ["24: it takes a second machine"]);
  assert.throws(() => commandsOf("<!-- usr -->\n```sh\na\n```"), /Cannot read line 2: "usr" says nothing/);
});

test("what is printed is what a page says but for names that differ", () => {
  for (
    const [said, printed, is] of [
      ["ID         STATE\nrun-10506  up", "ID      STATE\nrun-7f  up", true],
      ["up  8080:80/tcp", "up  8081:80/tcp", false],
      ["a … c", "a b b c", true],
      ["a\n…\nz", "a\nb\nc\nz", true],
      ["a\n…\nz", "a\nb\nc", false],
      ["", "", true],
      ["", "error", false],
      ["veth814fd58e1bf up", "veth385c5b36739 up", true],
    ] as const
  ) assert.equal(isAsSaid(said, printed), is, `${said} | ${printed}`);
});
