import type * as Dgram from "node:dgram";
import type * as Net from "node:net";
import { messageOf } from "../../wire/cni/error.ts";
import { service } from "../node/process.ts";
import { onDeno } from "../runtime.ts";
import { forwardConnections } from "./connections.ts";
import { forwardDatagrams } from "./datagrams.ts";
import { openNative } from "./native.ts";
import type { Common, Forward, Opened, Order, Report } from "./port.ts";
import type { Room } from "./room.ts";

/** The largest number of log lines: the file may be in memory. */
const mostLines = 1000;

/** Forwards the ports that the outer process passes, and ends with it. */
export function relayInside(room: Room): void {
  const forwards = new Map<number, Forward>();
  const report = (report: Report) => service.send(report);
  const log = logger();
  const native = onDeno ? openNative(room) : undefined;
  const forwardTcp = (opened: Net.Server, id: number, common: Common) =>
    native?.(opened, common) ??
      forwardConnections(opened, { ...common, again: () => report({ id, again: true }) });
  const obey = ({ id, request }: Order, opened?: Opened) => {
    const forward = forwards.get(id);
    if (!request) {
      forward?.close();
      room.give(1);
      return void forwards.delete(id);
    }
    if (forward) return forward.goOn!(opened as Net.Server);
    if (!room.take(1)) {
      opened!.close();
      throw new Error("there is no room for more ports and connections");
    }
    const common = { request, room, log };
    forwards.set(
      id,
      request.proto === "tcp"
        ? forwardTcp(opened as Net.Server, id, common)
        : forwardDatagrams(opened as Dgram.Socket, common),
    );
  };
  service.onMessage((order, opened) => {
    const { id } = order as Order;
    try {
      obey(order as Order, opened as Opened);
      report({ id });
    } catch (error) {
      report({ id, problem: messageOf(error) });
    }
  });
  report({ id: 0 });
}

function logger(): (line: string) => void {
  let lines = 0;
  return (line) => {
    if (lines++ < mostLines) service.tell(`${new Date().toISOString()} ${line}`);
  };
}
