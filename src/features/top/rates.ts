import type { Counted, Sample } from "./sample.ts";

/** What went through each interface between two samples that both have it, a second; those with the most traffic first. */
export function ratesOf(before: Sample, after: Sample): readonly Counted[] {
  const seconds = (after.at - before.at) / 1000;
  return after.interfaces.flatMap((now) => {
    const old = before.interfaces.find(({ id, network, ifname }) =>
      id === now.id && network === now.network && ifname === now.ifname
    );
    if (!old) return [];
    // Of what was dropped it is the sum. An interface that was made anew begins with nothing.
    const counters = now.counters.map((value, i) =>
      i > 3 ? value : seconds > 0 ? Math.max(0, Math.round((value - old.counters[i]!) / seconds)) : 0
    );
    return [{ ...now, counters }];
  }).toSorted((a, b) => bytesOf(b) - bytesOf(a));
}

function bytesOf({ counters: [received, sent] }: Counted): number {
  return received! + sent!;
}

/** Rates as scripts see them. The keys are stable: docs/usage.md. */
export function rateKeys({ counters, ...rest }: Counted): Readonly<Record<string, unknown>> {
  const keys = ["rxBytes", "txBytes", "rxPackets", "txPackets", "rxDropped", "txDropped"];
  return { ...rest, ...Object.fromEntries(keys.map((key, i) => [key, counters[i]])) };
}
