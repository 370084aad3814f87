import assert from "node:assert/strict";
import { test } from "node:test";
import { joined, parsePublish } from "../../net/port_mapping.ts";
import type { World } from "../../plan/world.ts";
import { findConflicting, portClaims } from "./port_claims.ts";
import { takePorts } from "./ports.ts";

const header =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

/** A line of /proc/net/tcp. The address is printed as on a little-endian machine. */
function socket(local: string, port: number, state: string, inode: number): string {
  const at = `${local}:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return `   0: ${at} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100`;
}

/**
 * A World in which every IPv4 address is the host's, and of IPv6 only fd00::1. It has these files, directories derived
 * from them, and links. TCP ports in `busy` cannot be listened on.
 */
function having(
  own: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {},
  busy: readonly number[] = [],
) {
  const files: Readonly<Record<string, string>> = own;
  const names = [...Object.keys(files), ...Object.keys(links)];
  return {
    read: (path: string) => files[path],
    readLink: (path: string) => links[path],
    makeDirectory: () => {},
    create: (path: string) => files[path] === undefined,
    list: (path: string) => [
      ...new Set(
        names.filter((name) => name.startsWith(`${path}/`)).map((name) =>
          name.slice(path.length + 1).split("/")[0]!
        ),
      ),
    ],
    hasAddress: (address: string) => Promise.resolve(!address.includes(":") || address === "fd00::1"),
    run: () => Promise.resolve({ code: 1, stdout: "", stderr: "RTNETLINK answers: Network is unreachable" }),
    canListen: (_: string, port: number) => Promise.resolve(!busy.includes(port)),
  } as unknown as World;
}

function publish(...texts: readonly string[]) {
  return texts.flatMap(parsePublish);
}

test("each port is a file named for its address, in a directory for the port", () => {
  const claims = portClaims(
    "/s",
    publish("80:1", "127.0.0.1:80:1/udp", "[::]:81:1", "[fd00::1]:81:1/sctp"),
    "c1",
  );
  assert.deepEqual(claims.map(({ path }) => path), [
    "/s/ports/tcp/80/any any",
    "/s/ports/udp/80/4 127.0.0.1",
    "/s/ports/tcp/81/6 any",
    "/s/ports/sctp/81/6 fd00::1",
  ]);
  assert.deepEqual(claims.map(({ owner }) => owner), ["c1", "c1", "c1", "c1"]);
  const range = portClaims("/s", joined(publish("80-8079:80-8079")), "c1");
  assert.deepEqual(range.map(({ path }) => path), ["/s/ports/tcp-ranges/80-8079/any any"]);
});

test("a rival is a program that has the port on an address that is ours too", () => {
  const world = having({
    "/s/ports/tcp/80/4 127.0.0.1": "c2",
    "/s/ports/tcp/80/.4 10.0.0.1.7.0": "half written",
    "/s/ports/tcp/81/any any": "c3",
    "/s/ports/tcp-ranges/100-199/6 any": "c4",
    "/s/ports/udp-ranges/1-9999/any any": "c5",
  });
  const rows = [
    ["80:1", "c2"],
    ["127.0.0.1:80:1", "c2"],
    ["0.0.0.0:80:1", "c2"],
    ["10.0.0.1:80:1", undefined],
    ["[::]:80:1", undefined],
    ["10000:1/udp", undefined],
    ["[fd00::1]:81:1", "c3"],
    ["82:1", undefined],
    ["199:1", "c4"],
    ["0.0.0.0:199:1", undefined],
    ["[fd00::1]:100:1", "c4"],
    ["9999:1/udp", "c5"],
    ["81-99:81-99", "c3"],
    ["199-299:199-299", "c4"],
    ["82-99:82-99", undefined],
    ["200-299:200-299", undefined],
    ["0.0.0.0:90-299:90-299", undefined],
  ] as const;
  for (const [text, owner] of rows) {
    assert.deepEqual(
      findConflicting(world, "/s", joined(publish(text)), "c1"),
      owner === undefined ? [] : [owner],
      text,
    );
  }
  assert.deepEqual(findConflicting(world, "/s", publish("80:1"), "c2"), [], "one's own claim is no rival");
});

test("a port that is taken is refused with who has it", async () => {
  const world = having(
    {
      "/s/ports/tcp/80/4 127.0.0.1": "c2",
      "/proc/self/net/tcp": [header, socket("0100007F", 8080, "0A", 11), socket("00000000", 8081, "01", 12)]
        .join("\n"),
      "/proc/self/net/tcp6": [
        header,
        socket("00000000000000000000000000000000", 8082, "0A", 13),
        socket("0000000000000000FFFF00000100007F", 8083, "0A", 14),
        socket("000000FD000000000000000001000000", 8084, "0A", 15),
      ].join("\n"),
      "/proc/self/net/udp": [header, socket("00000000", 53, "07", 16), socket("00000000", 54, "01", 17)].join(
        "\n",
      ),
      "/proc/41/comm": "dns server\n",
    },
    { "/proc/41/fd/3": "socket:[16]", "/proc/41/fd/4": "socket:[11]" },
    [8080, 8081, 8082, 8083, 8084],
  );
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["80:1", 'container "c2" has it'],
    ["8080:1", "process 41 (dns server) listens on it"],
    ["127.0.0.1:8080:1", "process 41 (dns server) listens on it"],
    ["10.0.0.1:8080:1", undefined],
    ["[::]:8080:1", undefined],
    ["8081:1", undefined],
    ["0.0.0.0:8082:1", "a process of another user listens on it"],
    ["[fd00::1]:8082:1", "a process of another user listens on it"],
    ["127.0.0.1:8083:1", "a process of another user listens on it"],
    ["[::]:8083:1", undefined],
    ["[fd00::1]:8084:1", "a process of another user listens on it"],
    ["53:1/udp", "process 41 (dns server) listens on it"],
    ["54:1/udp", undefined],
    ["53:1/sctp", undefined],
  ];
  for (
    const [text, port, reason] of [
      ["70-90:70-90", 80, 'container "c2" has it'],
      ["[::]:60-90:60-90", undefined, ""],
      ["8081-8100:8081-8100", 8082, "a process of another user listens on it"],
      ["1-60:1-60/udp", 53, "process 41 (dns server) listens on it"],
    ] as const
  ) {
    const check = takePorts(world, "/s", joined(publish(text)), "c1");
    const protocol = text.includes("/") ? "udp" : "tcp";
    if (port === undefined) await check;
    else {
      await assert.rejects(check, { message: `Cannot publish "${port}:${port}/${protocol}": ${reason}` });
    }
  }
  for (const [text, reason] of rows) {
    const [port] = publish(text);
    const check = takePorts(world, "/s", [port!], "c1");
    const shown = text.includes("/") ? text : `${text}/tcp`;
    if (reason === undefined) await check;
    else await assert.rejects(check, { message: `Cannot publish "${shown}": ${reason}` });
  }
});

test("a container cannot publish one port twice", async () => {
  await assert.rejects(takePorts(having({}), "/s", publish("80:1", "127.0.0.1:80:2"), "c1"), {
    message: 'Cannot publish "127.0.0.1:80:2/tcp": this container publishes it already, as "80:1/tcp"',
  });
  await assert.rejects(takePorts(having({}), "/s", joined(publish("50-90:50-90", "80:2")), "c1"), {
    message: 'Cannot publish "80:2/tcp": this container publishes it already, as "50-90:50-90/tcp"',
  });
  await takePorts(having({}), "/s", publish("127.0.0.1:80:1", "127.0.0.2:80:1", "80:1/udp"), "c1");
});

test("a port on an address that the host does not have is refused", async () => {
  await assert.rejects(
    takePorts(having({}), "/s", publish("80:1", "[fd00::1]:81:1", "[fd00::2]:82:1"), "c1"),
    {
      message: 'Cannot publish "[fd00::2]:82:1/tcp": the host does not have the address fd00::2',
    },
  );
});

test("of two that claim a port at once, the one whose id comes first waits for the other to give up", async () => {
  const rival = "/s/ports/tcp/80/4 127.0.0.1";
  const record = (phase: string) =>
    JSON.stringify({
      ...{
        format: 1,
        id: "c2",
        created: "",
        bootId: "",
        host: "",
        phase,
        attachments: [],
        ports: [],
        steps: [],
      },
      container: { netns: "/n", identity: "1:2" },
    });
  const rows: [id: string, phase: string, slow: number, taken: boolean][] = [
    ["c1", "planning", 20, false],
    ["c1", "planning", 400, false],
    ["c1", "done", 20, false],
    ["c1", "done", Infinity, true],
    ["c3", "planning", Infinity, true],
  ];
  for (const [id, phase, slow, taken] of rows) {
    const files = new Map<string, string>();
    const world = {
      ...having({}),
      read: (path: string) => path === "/s/containers/c2/journal.json" ? record(phase) : files.get(path),
      list: (path: string) => [...files.keys()].map((name) => name.slice(path.length + 1)),
      create: (path: string, text: string) => {
        // The other claim appears between our check and our claim, and is released soon after.
        files.set(path, text).set(rival, "c2");
        if (slow < Infinity) setTimeout(() => files.delete(rival), slow);
        return true;
      },
    } as World;
    const taking = takePorts(world, "/s", publish("80:1"), id);
    if (!taken) await taking;
    else await assert.rejects(taking, { message: 'Cannot publish "80:1/tcp": container "c2" has it' });
  }
});
