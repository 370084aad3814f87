import assert from "node:assert/strict";
import { test } from "node:test";
import { commands, parseCommand, parseEnvironment } from "./environment.ts";

const full = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/n",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "IP=10.0.0.1",
  CNI_PATH: "/opt/cni/bin::/b",
};

function parse(env: Readonly<Record<string, string>>) {
  return parseEnvironment((name) => env[name]);
}

test("a full environment is read", () => {
  assert.deepEqual(parse(full), {
    command: "ADD",
    containerId: "c1",
    netns: "/n",
    ifname: "eth0",
    args: "IP=10.0.0.1",
    path: ["/opt/cni/bin", "/b"],
    netnsOverride: false,
  });
  for (const yes of ["1", "true", "TRUE"]) {
    assert.equal(parse({ ...full, CNI_NETNS_OVERRIDE: yes }).netnsOverride, true);
  }
  assert.equal(parse({ ...full, CNI_NETNS_OVERRIDE: "yes" }).netnsOverride, false);
});

test("what a command needs and lacks is named together, in the reference's order", () => {
  const [id, netns, ifname, path] = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["ADD", [id, netns, ifname, path]],
    ["CHECK", [id, netns, ifname, path]],
    ["DEL", [id, ifname, path]],
    ["GC", [path]],
    ["STATUS", [path]],
    ["", ["CNI_COMMAND"]],
  ];
  for (const [command, missing] of rows) {
    assert.throws(() => parse({ CNI_COMMAND: command, CNI_ARGS: "" }), {
      code: 4,
      message: `required env variables [${missing.join(",")}] missing`,
    });
  }
  for (const command of ["VERSION", "FOO"]) assert.equal(parse({ CNI_COMMAND: command }).command, command);
  assert.equal(parse({ ...full, CNI_COMMAND: "DEL", CNI_NETNS: "" }).netns, "");
});

test("names that cannot be are refused, where the command needs them", () => {
  const rows: readonly (readonly [Record<string, string>, string, string])[] = [
    [{ CNI_CONTAINERID: "../c" }, "invalid characters in containerID", "../c"],
    [{ CNI_CONTAINERID: "a\nb" }, "invalid characters in containerID", "a\nb"],
    [{ CNI_CONTAINERID: "x".repeat(201) }, "containerID is too long", "x".repeat(201)],
    [
      { CNI_IFNAME: "x".repeat(16) },
      "interface name is too long",
      "interface name should be less than 16 characters",
    ],
    [{ CNI_IFNAME: "." }, "interface name is . or ..", ""],
    [{ CNI_IFNAME: ".." }, "interface name is . or ..", ""],
    [{ CNI_IFNAME: "a/b" }, "interface name contains / or : or whitespace characters", ""],
    [{ CNI_IFNAME: "a:b" }, "interface name contains / or : or whitespace characters", ""],
    [{ CNI_IFNAME: "a b" }, "interface name contains / or : or whitespace characters", ""],
    [{ CNI_IFNAME: "-a" }, "interface name has characters other than A-Z a-z 0-9 _ . + -", ""],
  ];
  for (const [env, message, details] of rows) {
    for (const CNI_COMMAND of ["ADD", "CHECK", "DEL"]) {
      assert.throws(() => parse({ ...full, CNI_COMMAND, ...env }), { code: 4, message, details });
    }
    parse({ ...full, CNI_COMMAND: "GC", ...env });
  }
});

test("a command is one of six, in capitals", () => {
  for (const command of commands) assert.equal(parseCommand(command), command);
  for (const text of ["FOO", "add", "ADD\n", "constructor"]) {
    assert.throws(() => parseCommand(text), { code: 4, message: `unknown CNI_COMMAND: ${text}` });
  }
});
