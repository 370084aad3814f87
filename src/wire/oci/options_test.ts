import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOptions, parseAnnotations, parseWords, toWords } from "./options.ts";

test("words are read in every form, and add up where an option may be given again", () => {
  assert.deepEqual(
    parseWords([
      "--net",
      "a",
      "--net=b:IP=1.2.3.4",
      "-p",
      "1:2",
      "--publish=3:4",
      "--hostname=x",
      "--hostname",
      "y",
    ]),
    new Map([["net", ["a", "b:IP=1.2.3.4"]], ["publish", ["1:2", "3:4"]], ["hostname", ["y"]]]),
  );
  assert.deepEqual(parseWords(["--net="]), new Map([["net", [""]]]));
  assert.deepEqual(parseWords([]), new Map());
});

test("a word that is no option, or lacks its value, is refused", () => {
  for (
    const word of [
      "-n",
      "-undefined",
      "-p=1:2",
      "net",
      "",
      "--",
      "-",
      "--Net=a",
      "--toString",
    ]
  ) {
    assert.throws(() => parseWords([word, "x"]), {
      message: `Cannot read option "${word}": there is none of that name`,
    });
  }
  for (
    const [word, names] of [["--nett=a", "--net or --net-dir"], ["--publsh", "--publish or --publish-mesh"]]
  ) {
    assert.throws(() => parseWords([word!, "x"]), {
      message: `Cannot read option "${word}": there is none of that name; did you mean ${names}?`,
    });
  }
  assert.throws(() => parseWords(["--net"]), {
    message: 'Cannot read option "--net": it needs a value (NETS)',
  });
  assert.throws(() => parseWords(["--net=a", "-p"]), {
    message: 'Cannot read option "-p": it needs a value (PORTS)',
  });
});

test("annotations of ours are read, several values in one; those of others are passed over", () => {
  assert.deepEqual(
    parseAnnotations({
      "org.ocinet.net": " a b:IP=1.2.3.4\n--net=host ",
      "org.ocinet.hostname": "box",
      "org.ocinet.dns-domain": "a b",
      "io.other.net": "host",
    }),
    new Map([["net", ["a", "b:IP=1.2.3.4", "--net=host"]], ["hostname", ["box"]], ["dns-domain", ["a b"]]]),
  );
  assert.deepEqual(parseAnnotations({}), new Map());
});

test("an annotation of ours that no option has is refused, and so is one that a bundle may not decide", () => {
  const known = containerOptions.filter(({ annotation }) => annotation).map(({ name }) =>
    `org.ocinet.${name}`
  );
  for (const name of ["nets", "", "net-dir", "p", "__proto__"]) {
    assert.throws(() => parseAnnotations({ [`org.ocinet.${name}`]: "x" }), {
      message: `Cannot use annotation "org.ocinet.${name}": known are ${known.join(", ")}`,
    });
  }
});

test("options are written as words that give them again", () => {
  const given = parseWords(["--net=a", "--net=--publish", "--hosts-entry=1.2.3.4=a b"]);
  assert.deepEqual(toWords(given), ["--net=a", "--net=--publish", "--hosts-entry=1.2.3.4=a b"]);
  assert.deepEqual(parseWords(toWords(given)), given);
});
