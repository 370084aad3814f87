import { stateDirectory } from "../engine/state.ts";
import { rateKeys, ratesOf } from "../features/top/rates.ts";
import { type Counted, type KnownContainers, takeSample } from "../features/top/sample.ts";
import { ownTerminal, type Terminal } from "../host/terminal.ts";
import type { World } from "../plan/world.ts";
import { UsageError } from "../wire/oci/options.ts";
import { shortId } from "./list.ts";
import { type Report, tableText } from "./report.ts";

/** Seconds between two measurements, unless told. */
const usualInterval = "2";

/**
 * Shows what goes through containers' interfaces: on a terminal until `q` or Ctrl-C, else once.
 * @param interval in seconds, from 0.1 to 3600
 * @throws UsageError for another interval
 */
export async function top(world: World, isOnce: boolean, interval = usualInterval): Promise<Report> {
  const seconds = /^[0-9.]+$/.test(interval) ? Number(interval) : 0;
  if (!(seconds >= 0.1 && seconds <= 3600)) {
    throw new UsageError(
      `Cannot measure every "${interval}" seconds: it is a number from 0.1 to 3600, such as 2`,
    );
  }
  const wait = () => new Promise<void>((resolve) => setTimeout(resolve, seconds * 1000));
  if (!isOnce) return await watch(world, ownTerminal(), wait);
  const state = stateDirectory(world);
  const before = await takeSample(world, state);
  await wait();
  const rates = ratesOf(before, await takeSample(world, state));
  return { json: rates.map(rateKeys), text: tableOf(rates) };
}

/** Draws one measurement after the other, until a key or a signal ends it; then the terminal is as it was. */
export async function watch(world: World, terminal: Terminal, wait: () => Promise<void>): Promise<Report> {
  const state = stateDirectory(world);
  let end = () => {};
  const ended = new Promise<true>((resolve) => end = () => resolve(true));
  world.onSignals(["SIGINT", "SIGTERM", "SIGHUP"], end);
  // Ctrl-C and Ctrl-D are keys here.
  const release = terminal.onKey((keys) => [..."qQ\x03\x04"].some((key) => keys.includes(key)) && end());
  terminal.print("\x1b[?1049h\x1b[?25l");
  try {
    const known: KnownContainers = new Map();
    let before = await takeSample(world, state, known);
    draw(terminal, ratesOf(before, before));
    while (!await Promise.race([ended, wait()])) {
      const after = await takeSample(world, state, known);
      draw(terminal, ratesOf(before, after));
      before = after;
    }
  } finally {
    release();
    terminal.print("\x1b[?25h\x1b[?1049l");
  }
  return { json: undefined, text: "" };
}

function draw(terminal: Terminal, rates: readonly Counted[]): void {
  const { columns, rows } = terminal.size();
  const lines = tableOf(rates).split("\n").slice(0, rows - 1).map((line) =>
    `${line.slice(0, columns)}\x1b[K\r\n`
  );
  terminal.print(`\x1b[H${lines.join("")}\x1b[J`);
}

function tableOf(rates: readonly Counted[]): string {
  const kilo = (bytes: number) => (bytes / 1000).toFixed(1);
  return tableText(
    ["ID", "NETWORK", "INTERFACE", "RX kB/s", "TX kB/s", "RX PKT/s", "TX PKT/s", "DROPPED"],
    rates.map(({ id, network, ifname, counters: [rx, tx, rxPackets, txPackets, rxDropped, txDropped] }) => [
      ...[shortId(id), network, ifname, kilo(rx!), kilo(tx!)],
      ...[rxPackets!, txPackets!, rxDropped! + txDropped!].map(String),
    ]),
  );
}
