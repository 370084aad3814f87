import assert from "node:assert/strict";
import { after, test } from "node:test";
import { readUndamagedFile } from "../plan/files.ts";
import { builtin } from "./node/builtin.ts";
import { realWorld } from "./runtime.ts";

const world = realWorld();
const directory = `/tmp/ocinet-files-test.${world.pid}`;
world.makeDirectory(directory);
after(() => world.remove(directory));

test("what is pinned stays what it is, whatever its name comes to mean", () => {
  const [file, other] = [`${directory}/file`, `${directory}/other`];
  world.write(file, "first");
  world.write(other, "other");
  const pinned = world.pin(file)!;
  const { identity } = world.stat(file)!;
  assert.deepEqual([pinned.stat.kind, pinned.stat.identity, pinned.stat.links], ["file", identity, 1]);
  world.write(file, "second");
  assert.equal(world.read(pinned.path), "first");
  world.remove(file);
  world.symlink(other, file);
  assert.equal(world.read(pinned.path), "first");
  pinned.release();
  assert.equal(world.stat(pinned.path), undefined);
  world.remove(file);
});

test("a link is pinned itself, or followed where that is asked for", () => {
  const [file, link] = [`${directory}/target`, `${directory}/link`];
  world.write(file, "text");
  world.symlink(file, link);
  const [itself, followed] = [world.pin(link)!, world.pin(link, "follow")!];
  assert.deepEqual([itself.stat.isLink, itself.stat.kind], [true, "other"]);
  assert.deepEqual([followed.stat.isLink, followed.stat.kind, world.readLink(followed.path)], [
    false,
    "file",
    file,
  ]);
  [itself, followed].forEach(({ release }) => release());
});

test("within a pinned directory names are looked up, whatever the directory is called by then", () => {
  world.makeDirectory(`${directory}/a`);
  world.write(`${directory}/a/file`, "of a");
  world.makeDirectory(`${directory}/b`);
  const pinned = world.pin(`${directory}/a`)!;
  world.remove(`${directory}/b`);
  world.symlink("/", `${directory}/b`);
  assert.equal(world.read(`${pinned.path}/file`), "of a");
  world.write(`${pinned.path}/file`, "anew");
  assert.equal(world.read(`${directory}/a/file`), "anew");
  pinned.release();
});

test("neither a fifo nor a device is opened to be pinned, and what is not there is not", async () => {
  const fifo = `${directory}/fifo`;
  assert.equal((await world.run(["mkfifo", fifo])).code, 0);
  for (const path of [fifo, "/dev/null"]) {
    const pinned = world.pin(path)!;
    assert.equal(pinned.stat.kind, "other");
    pinned.release();
  }
  assert.equal(world.pin(`${directory}/nothing`), undefined);
  assert.equal(world.pin(`${directory}/target/file`), undefined);
});

test("a file is written whole into a new one: no link is written through, and owner and mode are kept", () => {
  const [file, link] = [`${directory}/precious`, `${directory}/swapped`];
  world.write(file, "precious");
  world.symlink(file, link);
  world.write(link, "text");
  assert.deepEqual([world.read(file), world.read(link)], ["precious", "text"]);
  const { uid, gid } = world.pin(file)!.stat;
  world.write(file, "mine", 0o666, { uid, gid });
  assert.deepEqual([world.read(file), world.stat(file)!.mode], ["mine", 0o666]);
  const owner = world.uid === 0 ? 12345 : uid;
  world.write(file, "theirs", 0o640, { uid: owner, gid: world.uid === 0 ? 54321 : gid });
  assert.deepEqual([world.stat(file)!.uid, world.stat(file)!.mode], [owner, 0o640]);
});

test("a file or directory has the mode that it is made with, whatever the umask", () => {
  const { umask } = builtin<{ umask(mask: number): number }>("node:process");
  const before = umask(0o777);
  try {
    world.write(`${directory}/shown`, "text", 0o644);
    world.create(`${directory}/made`, "text", 0o644);
    world.makeDirectory(`${directory}/above/below`);
  } finally {
    umask(before);
  }
  assert.equal(umask(before), before);
  assert.deepEqual(["above", "above/below"].map((name) => world.stat(`${directory}/${name}`)!.mode), [
    0o700,
    0o700,
  ]);
  assert.deepEqual(["shown", "made"].map((name) => world.stat(`${directory}/${name}`)!.mode), [0o644, 0o644]);
});

test("no temporary file survives a write that fails", () => {
  world.makeDirectory(`${directory}/full/taken`);
  world.write(`${directory}/full/taken/file`, "");
  assert.throws(() => world.write(`${directory}/full/taken`, "text"));
  assert.deepEqual(world.list(`${directory}/full`), ["taken"]);
});

test("a link that has the temporary file's name, and a file, stay as they are", () => {
  const file = `${directory}/guessed`;
  world.write(file, "precious");
  const chance = crypto.getRandomValues;
  try {
    crypto.getRandomValues = (array) => {
      (array as unknown as Uint32Array).fill(500000000);
      return array;
    };
    const temporary = `${directory}/.name.${world.pid}.500000000`;
    world.symlink(file, temporary);
    assert.throws(() => world.write(`${directory}/name`, "text"));
    assert.throws(() => world.create(`${directory}/name`, "text"));
    assert.throws(() => world.write(`${directory}/name`, "text", 0o600, world.pin(directory)!.stat));
    assert.deepEqual([world.read(file), world.readLink(temporary)], ["precious", file]);
  } finally {
    crypto.getRandomValues = chance;
  }
});

test("of a file, the beginning is read, also of one of the kernel's that says little at a time; and none of what is missing", () => {
  const file = `${directory}/start`;
  world.write(file, "0123456789");
  assert.equal(world.readStart(file, 4), "0123");
  assert.equal(world.readStart(file, 99), "0123456789");
  assert.equal(world.readStart(`${directory}/none`, 4), undefined);
  const whole = world.read("/proc/self/mountinfo")!;
  assert.equal(world.readStart("/proc/self/mountinfo", 1_000_000), whole);
});

test("a file that is written into is never cut, and stays the same file", async () => {
  const [file, stop] = [`${directory}/into`, `${directory}/stop`];
  world.write(file, "first\n");
  const { identity } = world.stat(file)!;
  const reader = world.run([
    ...["sh", "-c", 'while [ ! -e "$2" ]; do read -r line <"$1" || echo cut; done', "sh"],
    ...[file, stop],
  ]);
  for (let i = 0; i < 3000; i++) {
    const text = `first\n${"x".repeat(i % 3 * 5000)}\n`;
    world.put(file, text);
    if (i % 100 > 0) continue;
    assert.equal(world.read(file), text);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  world.write(stop, "");
  assert.equal((await reader).stdout, "");
  assert.equal(world.stat(file)!.identity, identity);
  assert.throws(() => world.put(`${directory}/missing`, ""));
});

test("what is no regular file, or too long, is neither opened nor read, and the error says what it is", async () => {
  const at = (name: string) => `${directory}/${name}`;
  assert.equal((await world.run(["mkfifo", at("pipe")])).code, 0);
  assert.equal((await world.run(["truncate", "--size=17M", at("long")])).code, 0);
  const kinds = { zero: "a character device", null: "" };
  for (const name of Object.keys(kinds)) world.symlink(`/dev/${name}`, at(name));
  world.makeDirectory(at("tree"));
  for (
    const [name, kind] of [["pipe", "a pipe \\(FIFO\\)"], ["zero", kinds.zero], ["tree", "a directory"], [
      "long",
      "larger than 16 MiB",
    ]]
  ) {
    const why = new RegExp(`^Error: Cannot read ${at(name!)}: it is ${kind}.*; remove it$`);
    for (const read of ["read", "readBytes"] as const) assert.throws(() => world[read](at(name!)), why);
    assert.equal(readUndamagedFile(world, at(name!)), undefined);
  }
  assert.equal(world.read(at("null")), "");
  // As a container may have made its hosts file, whose beginning has the names of the others.
  assert.equal(world.readStart(at("long"), 2), "\0\0");
  // A lock is had all the same.
  (await world.lock(at("pipe")))();
  assert.equal(world.stat(at("pipe")), undefined);
});

test("an address is ours if a socket can be bound to it", async () => {
  const has = await Promise.all(
    ["127.0.0.1", "192.0.2.77", "2001:db8:77::1"].map((address) => world.hasAddress(address)),
  );
  assert.deepEqual(has, [true, false, false]);
});
