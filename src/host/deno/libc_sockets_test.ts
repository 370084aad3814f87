import assert from "node:assert/strict";
import { test } from "node:test";
import { listenAt } from "../relay/listening.ts";
import { openNative } from "../relay/native.ts";
import { roomOf } from "../relay/room.ts";
import { onDeno } from "../runtime.ts";
import { libcNames } from "./libc.ts";
import { openSockets } from "./libc_sockets.ts";

const host = "127.0.0.1";

if (onDeno) test("the relay passes on urgent data in its place, and what follows it", passesUrgentOn);

async function passesUrgentOn(): Promise<void> {
  const echo = await listenAt({ host, port: 0 }, (client) => void client.pipe(client));
  const opened = await listenAt({ host, port: 0 }, () => {});
  const [guest, port] = [echo, opened].map((server) => (server.address() as { readonly port: number }).port);
  const ways = { host_addr: host, host_port: port!, guest_addr: host, guest_port: guest! };
  const common = { request: { proto: "tcp", ...ways }, room: roomOf(1000), log: assert.fail } as const;
  const forward = openNative(common.room)!(opened, common)!;

  const much = Uint8Array.from({ length: 200_005 }, (_, i) => i * 31 + (i >> 8));
  const sockets = openSockets()!;
  const client = sockets.connect({ address: host, port: port! });
  let sent = 0;
  // The relay has its turn after all of it.
  for (
    const [end, isUrgent] of [[5, false], [6, true], [200_000, false], [200_001, true], [200_005, false]]
  ) {
    const part = much.slice(sent, Number(end));
    sent += isUrgent ? sendUrgent(client, part) : sockets.send(client, part);
  }
  assert.equal(sent, much.length);
  assert.deepEqual(await receive(client, much.length), much);
  sockets.close(client);
  forward.close();
  echo.close();

  async function receive(fd: number, length: number): Promise<Uint8Array> {
    const [all, part] = [new Uint8Array(length), new Uint8Array(1 << 16)];
    for (let at = 0; at < length;) {
      const count = sockets.receive(fd, part);
      if (count > 0) all.set(part.subarray(0, count), at);
      else await new Promise((resolve) => setTimeout(resolve, 1));
      at += Math.max(0, count);
    }
    return all;
  }
}

/** Sends with MSG_OOB (send(2)): the last byte is urgent. */
function sendUrgent(fd: number, what: Uint8Array<ArrayBuffer>): number {
  const send = { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" } as const;
  const libc = Deno.dlopen(libcNames()[0]!, { send });
  try {
    return libc.symbols.send(fd, what, what.length, 1);
  } finally {
    libc.close();
  }
}
