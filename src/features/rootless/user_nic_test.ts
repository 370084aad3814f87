import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stat, World } from "../../plan/world.ts";
import { userNicFor } from "./user_nic.ts";

const program = "/usr/lib/x86_64-linux-gnu/lxc/lxc-user-nic";
const file: Stat = { kind: "file", identity: "1:1", uid: 0, modified: 0, mode: 0o755 };

/** A host with the program, which grants Ann some bridges, of which two are there. */
interface Differing {
  readonly stats?: Readonly<Record<string, Stat | undefined>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly ss?: string;
}

async function found({ stats, files, ss = "" }: Differing = {}) {
  const there: Record<string, Stat | undefined> = {
    [program]: { ...file, mode: 0o4755 },
    "/proc/sys/net/ipv4/ip_forward": file,
    ...{ "/usr/bin/udhcpc": file, "/usr/bin/getent": file, "/usr/bin/ss": file },
    "/sys/class/net/lxcbr0/bridge": { ...file, kind: "directory" },
    "/sys/class/net/br0/bridge": { ...file, kind: "directory" },
    ...Object.fromEntries(["lxcbr0", "br0", "eth0"].map((name) => [`/proc/sys/net/ipv4/conf/${name}`, file])),
    ...stats,
  };
  const texts: Record<string, string> = {
    "/etc/lxc/lxc-usernet": "ann veth lxcbr0 1\n@staff veth br0 2\n@other veth br1 2\n@staff veth eth0 1\n" +
      "ann veth none 1\nann veth gone 1\nann veth full 0\n1000 veth br2 1\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    "/proc/self/status": "Groups:\t50 51 \n",
    ...files,
  };
  const ran: string[] = [];
  const world: Partial<World> = {
    uid: 1000,
    env: () => undefined,
    read: (path) => texts[path],
    stat: (path) => there[path],
    list: (path) => path === "/usr/lib" ? ["python3", "x86_64-linux-gnu"] : [],
    run: (argv) => {
      ran.push(argv.join(" "));
      const says: Record<string, string> = {
        "getent group 50": "staff:x:50:\n",
        "ss -Hlun sport = :67": ss,
      };
      return Promise.resolve({ code: 0, stdout: says[argv.join(" ")] ?? "", stderr: "" });
    },
  };
  return { ...await userNicFor(world as World), ran };
}

const port67 = { "/proc/self/net/udp": "  sl  local_address\n  87: 00000000:0043 00000000:0000 07\n" };

function dhcpOn(bridges: readonly { readonly name: string; readonly servesDhcp: boolean }[]): string {
  return bridges.filter(({ servesDhcp }) => servesDhcp).map(({ name }) => name).join(" ");
}

test("what is granted to the user or a group of theirs is found, and which of it is there", async () => {
  const { userNic, ran } = await found();
  assert.deepEqual(userNic, {
    path: program,
    user: "ann",
    bridges: [
      { name: "lxcbr0", there: true, servesDhcp: false },
      { name: "br0", there: true, servesDhcp: false },
      { name: "eth0", there: false, servesDhcp: false },
      { name: "gone", there: false, servesDhcp: false },
    ],
  });
  // Without a socket on the port no service is asked whose it is.
  assert.deepEqual(ran, ["getent group 50", "getent group 51"]);
});

test("who serves DHCP on which link is told by the link that the socket is bound to", async () => {
  const serving = async (ss: string) => dhcpOn((await found({ files: port67, ss })).userNic!.bridges);
  assert.equal(await serving("UNCONN 0 0 0.0.0.0%br0:67 0.0.0.0:*\n"), "br0");
  assert.equal(await serving("UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:*\n"), "");
  assert.equal(await serving("UNCONN 0 0 192.0.2.1:67 0.0.0.0:*\n"), "");
  assert.equal(await serving("UNCONN 0 0 0.0.0.0:67 0.0.0.0:*\n"), "lxcbr0 br0 eth0 gone");
});

test("where the program is not, there is nothing; where it has no power, that is said with the remedy", async () => {
  assert.equal((await found({ stats: { [program]: undefined } })).userNic, undefined);
  const problem = async (stats: Differing["stats"]) => (await found({ stats })).userNic?.problem;
  assert.equal(
    await problem({ [program]: file }),
    `${program} is not setuid root; have root mend it: chown root ${program} && chmod u+s ${program}`,
  );
  assert.match(
    (await problem({ "/proc/sys/net/ipv4/ip_forward": { ...file, uid: 65534 } }))!,
    /^this is another user namespace than that of the host's links, .*; use another uplink$/,
  );
  assert.match((await problem({ "/usr/bin/udhcpc": undefined }))!, /is on PATH; install udhcpc$/);
});
