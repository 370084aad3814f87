import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../wire/oci/options.ts";
import { newFake } from "../host/fake.ts";
import { typedIn } from "./fake_console.ts";
import { headingOf, wrap } from "./help.ts";
import { allTopics } from "./topics.ts";
import { exampleOf, groups, nameOf, verbs } from "./verbs.ts";
import { asMeant } from "./words.ts";

const typed = (line: string, columns?: number, { world } = newFake()) => typedIn(world, line, columns);

test("paragraphs are wrapped, and lines that begin with blanks stay", () => {
  const text = "\nOne two three\nfour five.\n  alice   veth ocinet0 10\nSix seven eight.\n";
  assert.equal(
    wrap(text, 12),
    "\nOne two\nthree four\nfive.\n  alice   veth ocinet0 10\nSix seven\neight.\n",
  );
  assert.equal(wrap("a-word-that-is-too-long b", 5), "a-word-that-is-too-long\nb");
});

test("every command has its place in the help", () => {
  const names = verbs.map(({ group, usage }) => group ?? usage.split(" ")[0]!);
  const places = names.map((name) => headingOf(name).place);
  assert.equal(new Set(places).size, new Set(names).size);
  assert.deepEqual(headingOf("run"), { heading: "Containers and networks:", place: 0 });
});

test("every topic is a page of 25 lines at most, with two or three examples that ocinet understands", async () => {
  for (const { name, of = [] } of allTopics()) {
    const { code, stdout, stderr } = await typed(`help topic ${name}`, 80);
    assert.deepEqual([code, stderr], [0, ""], name);
    assert.ok(stdout.startsWith(`${name}: `), stdout);
    const lines = stdout.trimEnd().split("\n");
    assert.ok(lines.length <= 25 && lines.every((line) => line.length <= 80), stdout);
    const examples = lines.slice(lines.indexOf("Examples:") + 1);
    assert.ok(examples.length === 2 || examples.length === 3, stdout);
    for (const command of of) assert.ok(exampleOf(command).includes(`ocinet ${command}`), command);
    for (const example of examples) checkExample(example);
  }
});

/** An example of ours has a command that there is, with options that it has. */
function checkExample(example: string): void {
  const words = /ocinet (.*?)(?: (?:[|<>]|-- ).*)?$/.exec(example)?.[1]?.split(" ");
  if (example.includes("/") && !/^\s*(sudo )?ocinet/.test(example)) return;
  assert.ok(words, example);
  const verb = verbs.find((one) => {
    const name = nameOf(one).split(" ");
    return name.every((word, i) => words[i] === word);
  });
  assert.ok(verb, example);
  const names = (verb.options ?? []).flatMap((
    { name, short, also },
  ) => [`--${name}`, `--${also}`, `-${short}`]);
  const flags = Object.keys(verb.flags ?? {}).map((name) => `--${name}`);
  for (const word of words.filter((one) => one.startsWith("-"))) {
    assert.ok(verb.runs || [...names, ...flags].includes(word.split("=")[0]!), `${word} in ${example}`);
  }
}

test("help lists commands and topics; a command that a topic is about names it; nothing else is either", async () => {
  const { stdout } = await typed("help");
  assert.equal(stdout, (await typed("--help")).stdout);
  assert.match(stdout, /\n {2}network {10}create, list[^]*\nTopics:\n[^]*\n {2}exit-codes {7}what/);
  for (const { name } of allTopics()) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  for (const line of ["help port", "port --help"]) {
    const { code, stdout } = await typed(line);
    assert.match(stdout, /^Usage: ocinet port [^]*\nMore: ocinet help topic ports\n$/, line);
    assert.equal(code, 0);
  }
  for (const name of ["networks", "ports"]) {
    assert.match((await typed(`help ${name}`)).stdout, new RegExp(`^${name}: `));
  }
  assert.match((await typed("help network")).stdout, /\nMore: ocinet help topic networks\n$/);
  assert.match((await typed("help help")).stdout, /^Usage: ocinet help /);
  for (
    const [line, meant] of [["prots", "ports"], ["topic enviroment", "environment"], ["repiar", "repair"]]
  ) {
    const { code, stdout, stderr } = await typed(`help ${line}`);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, new RegExp(`^ocinet: unknown command '.*'\n\\(Did you mean ${meant}\\?\\)\n`));
  }
});

test("options stand below what they are for, a command's own first and those of its output last, with what is like a mistake", async () => {
  const headings = async (line: string) =>
    [...(await typed(line)).stdout.matchAll(/^([A-Z][a-z ]+):$/gm)].map(([, one]) => one);
  assert.deepEqual(
    (await headings("run --help")).join(),
    "Options,Network,Ports,Names,Limits,Without root,Output,Example",
  );
  assert.deepEqual((await headings("port --help")).join(), "Ports,Without root,Output,Example");
  assert.deepEqual((await headings("inject --help")).at(0), "Options");
  for (const verb of verbs) {
    const all = await headings(`${nameOf(verb)} --help`);
    assert.deepEqual(all.slice(-2), ["Output", "Example"], nameOf(verb));
    assert.equal(new Set(all).size, all.length);
  }
  for (
    const [line, meant] of [["up --pubish 80", "--publish"], ["run --netw shop", "--net"], [
      "gc --dryrun",
      "--dry-run",
    ]]
  ) {
    const { code, stderr } = await typed(line!);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`unknown option .*\n\\(Did you mean ${meant}\\?\\)`));
  }
  assert.doesNotMatch((await typed("repair --help")).stdout, /rootless/);
});

test("units are printed, or written into the directory that is named, alike for all services", async () => {
  for (
    const [command, files] of [
      ["agent", ["ocinet-agent.service"]],
      ["helper", ["ocinet-helper.service", "ocinet-helper@.socket"]],
      ["docker-plugin", ["ocinet-docker.service"]],
    ] as const
  ) {
    const fake = newFake();
    fake.world.makeDirectory("/units");
    const printed = await typed(`${command} --units`, undefined, fake);
    assert.equal(printed.code, 0, printed.stderr);
    assert.deepEqual(fake.world.list("/units"), []);
    const { code, stdout } = await typed(`${command} --units /units`, undefined, fake);
    assert.equal(code, 0);
    assert.deepEqual(fake.world.list("/units").toSorted(), files);
    assert.match(stdout, /^\/units\/.*\n[^]*systemctl enable --now /);
    const texts = files.map((name) => fake.world.read(`/units/${name}`));
    const named = files.map((name, i) => `# /etc/systemd/system/${name}\n${texts[i]}`).join("\n");
    assert.equal(printed.stdout, files.length === 1 ? texts[0] : named);
    const json = await typed(`${command} --units --json`, undefined, fake);
    assert.deepEqual(Object.keys(JSON.parse(json.stdout)), files);
  }
});

test("an option of another tool is told with what to do instead, one that is nearly ours with ours", async () => {
  const rows: readonly (readonly [string, string])[] = [
    [
      "run --ip 10.0.0.9 true",
      "'--ip'\n(--net NETWORK:ip=ADDRESS chooses the address)\n(ocinet run --help says more)",
    ],
    ["run --ip=10.0.0.9 true", "'--ip=10.0.0.9'\n(--net NETWORK:ip=ADDRESS chooses the address)"],
    ["run -it sh", "'-it'\n(leave it out: ocinet run always does this)"],
    ["down --all", "'--all'\n(ocinet ls lists all containers; ocinet down $(ocinet ls -q) disconnects all)"],
    ["gc -n", "'-n'\n(--dry-run)"],
    ["top --no-stream", "'--no-stream'\n(ocinet top --once)"],
    ["up --nett a box", "'--nett'\n(Did you mean --net?)\n(ocinet up --help says more)"],
    ["ls --constructor", "'--constructor'\n(ocinet ls --help says more)"],
  ];
  for (const [words, said] of rows) {
    const { code, stderr } = await typed(words);
    assert.ok(code === 2 && stderr.startsWith(`ocinet: unknown option ${said}`), stderr);
  }
  assert.match((await typed("-v")).stdout, /^ocinet /);
});

test("no command takes an empty word for something that is there", async () => {
  for (const verb of verbs.filter(({ usage, runs }) => usage.includes(" ") && !runs)) {
    const [, ...names] = verb.usage.split(" ");
    for (const [i, name] of names.entries()) {
      const { code, stderr } = await typed(
        [nameOf(verb), ...names.map((_, j) => j === i ? "" : "x")].join(" "),
      );
      if (nameOf(verb) === "help") assert.equal(code, 2);
      else assert.equal(`${code} ${stderr}`, `2 ocinet: Cannot use "" as ${name}: it is empty\n`);
    }
  }
});

test("help, and words of other tools, are what they mean", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["help", "--help"],
    ["help run", "run --help"],
    ["help run rm -rf", "run --help"],
    ["help session start", "session start --help"],
    ["help session strat", "session strat"],
    ["help ports", "help ports"],
    ["help topic ports", "help ports"],
    ["help names", "help names"],
    ["help ps", "ls --help"],
    ["ps --json", "ls --json"],
    ["session ls", "session status"],
    ["prune", "gc"],
    ["attach /run/netns/box", "up /run/netns/box"],
    ["detach box", "down box"],
    ["run ps", "run ps"],
    ["network help", "network --help"],
    ["network help create", "network create --help"],
    ["network help nosuch", "network nosuch"],
    ["cluster help rotate", "cluster rotate --help"],
    ["session help", "session --help"],
    ["port help", "port --help"],
    ["port help add", "port --help"],
    ["cni help add", "cni --help"],
    ["down help", "down help"],
    ["nonsense", "nonsense"],
    ["constructor", "constructor"],
  ];
  for (const [typed, meant] of rows) {
    assert.deepEqual(
      asMeant(typed.split(" "), Object.keys(groups), verbs.map(nameOf)),
      meant.split(" "),
      typed,
    );
  }
  assert.throws(() => asMeant(["session", "sh"]), /ocinet session exec sh starts a shell/);
  assert.throws(() => asMeant(["stop", "box"]), (error: Error) => {
    return error instanceof UsageError &&
      /^There is no command "stop": ocinet down ID/.test(error.message);
  });
});
