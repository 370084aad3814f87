import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { containerKey, type ContainerRecord, newRecord, writeRecord } from "../../engine/record.ts";
import { identify } from "../../engine/process.ts";
import { formatResolvConf } from "../../net/resolv_conf.ts";
import type { World } from "../../plan/world.ts";
import { mountFiles } from "./file_mounts.ts";
import { toldFile } from "./host_names.ts";
import { changesOfHost, renewAll, repairNames } from "./names_again.ts";

const [state, directory] = ["/s", "/s/containers/c1"];

/** A host, and a command that was told these servers by files mounted over the host's. */
function commandTold(from: string) {
  const fake = newFake();
  const pid = fake.startContainer("sleep");
  const text = formatResolvConf({ nameservers: ["192.0.2.1"], search: [], options: [] }, from);
  fake.place("/etc/resolv.conf", "nameserver 192.0.2.1\n");
  fake.place("/etc/hosts", "127.0.0.1 localhost\n");
  for (const name of ["resolv.conf", "hosts"]) fake.place(`${directory}/${name}`, text);
  if (from !== "") fake.place(toldFile(directory), text);
  const files = ["resolv.conf", "hosts"].map((name) => ({
    source: `${directory}/${name}`,
    readOnly: false,
    target: { file: `/etc/${name}` },
  }));
  const asIs = { source: "/etc/hostname", readOnly: true, target: { file: "/etc/hostname" } };
  const init = identify(fake.world, pid)!;
  writeRecord(
    fake.world,
    state,
    newRecord<ContainerRecord>(fake.world, {
      ...{ ...containerKey("c1"), created: "", phase: "done", attachments: [], ports: [] },
      container: {
        netns: `/proc/${pid}/ns/net`,
        identity: fake.world.stat(`/proc/${pid}/ns/net`)!.identity,
        init,
      },
      steps: [mountFiles(fake.world, { pid, enter: ["-t", "7", "-U"], path: "" }, [...files, asIs])],
    }),
  );
  return { fake, pid };
}

/** The world, where a script that mounts says what it did. */
function mountingWorld(world: World, stdout: string) {
  const ran: (readonly string[])[] = [];
  return {
    ran,
    world: {
      ...world,
      run: (argv: readonly string[]) => {
        ran.push(argv);
        return Promise.resolve({ code: 0, stdout, stderr: "" });
      },
    },
  };
}

test("files of ours are mounted again, over the host's that are there, in the command's mount namespace", async () => {
  const { fake, pid } = commandTold("");
  const { world, ran } = mountingWorld(fake.world, "/etc/resolv.conf\n");
  assert.deepEqual(await repairNames(world, state, "c1"), [
    "/etc/resolv.conf had been replaced on the host, and the container's is mounted again",
  ]);
  assert.deepEqual(ran.map((argv) => [...argv.slice(0, 6), ...argv.slice(8)].join(" ")), [
    `nsenter -t 7 -U --mount=/proc/${pid}/ns/mnt sh sh ${directory}/resolv.conf /etc/resolv.conf ` +
    `${directory}/hosts /etc/hosts`,
  ]);
  assert.match(ran[0]![6]!, /-c/);
  // That is not asked where the kernel shows that all are there.
  const mounts = ["resolv.conf", "hosts"].map((name) =>
    `50 20 0:9 /o/containers/c1/${name} /etc/${name} rw - tmpfs x rw`
  );
  const read = (path: string) => path.endsWith("/mountinfo") ? mounts.join("\n") : fake.world.read(path);
  assert.deepEqual([await repairNames({ ...world, read }, state, "c1"), ran.length], [[], 1]);
  fake.tree.remove("/etc/hosts");
  await repairNames(world, state, "c1");
  assert.deepEqual(ran[1]!.slice(-2), [`${directory}/resolv.conf`, "/etc/resolv.conf"]);
  fake.endProcess(pid);
  assert.deepEqual([await repairNames(world, state, "c1"), ran.length], [[], 2]);
});

test("the agent tells containers the host's new name servers, and leaves those that were given others", async () => {
  for (
    const [from, said] of [[" from the host", /^container "c1": the host's name servers had changed/], [
      "",
      /^$/,
    ]]
  ) {
    const { fake } = commandTold(from as string);
    const { world } = mountingWorld(fake.world, "");
    const hasChanged = changesOfHost(world);
    assert.equal(hasChanged(), false);
    fake.place("/etc/resolv.conf", "nameserver 192.0.2.7\n");
    assert.deepEqual([hasChanged(), hasChanged()], [true, false]);
    const stat = () => {
      throw new Error("ELOOP");
    };
    assert.equal(changesOfHost({ ...world, stat })(), false);
    const told: string[] = [];
    await renewAll(world, state, (line) => told.push(line));
    assert.match(told.join("\n"), said as RegExp);
    assert.equal(fake.world.read(`${directory}/resolv.conf`)!.includes("192.0.2.7"), from !== "");
  }
});
