/** What dist/ocinet may weigh, and what may be in which part of it (parts.ts). */
import type { Part } from "./bundle.ts";
import { eager } from "./parts.ts";

/**
 * The most bytes, because each costs time at every start. Deno reads and hashes the whole file, and Node scans it to its
 * end: a hundred thousand bytes take one to three in a hundred of a hook's time. The eager part is compiled as well
 * (eager_functions.ts), by Deno when it is new, by Node every time, which costs five times as much. Of the file, 30,000 are
 * Commander's, 27,000 what asks plugins of Docker's, and 16,000 the agent's calls'.
 */
const budget = { file: 842_000, [eager]: 224_000 };

/** What only people need, or few calls: the eager part does without. */
const notEager = [
  /^src\/commands\/(?!cni\.ts|dhcp_daemon|failure|hook\.ts|plugin|report)/,
  /^src\/features\/(calls|doctor|helper|map|overlay|page|run|session)\//,
  /^src\/host\/(adoption|deno\/adoption|deno\/datagrams|dry|logging|node\/adoption|relay\/|resolver\/)/,
  /^node_modules\/(?!ipaddr\.js\/)/,
];

/** What is wrong with a bundle, a line each. @param size bytes of the linked file */
export function findings(parts: readonly Part[], size: number): string[] {
  const modules = parts.flatMap((part) => Object.keys(part.modules).map((module) => ({ module, part })));
  const inEager = parts.find(({ name }) => name === eager)!;
  const weights = [["the file", size, budget.file], [
    "its eager part",
    inEager.text.length,
    budget[eager],
  ]] as const;
  return [
    ...weights.filter(([, bytes, most]) => bytes > most).map(([what, bytes, most]) =>
      `${what} has ${bytes} bytes, of ${most} that it may have: leave something out, or load it lazily (scripts/parts.ts)`
    ),
    ...modules.filter(({ module }, i) => modules.findIndex((one) => one.module === module) < i).map((
      { module, part },
    ) => `${module} is in the part "${part.name}", and in one before it`),
    ...Object.keys(inEager.modules).filter((module) => notEager.some((pattern) => pattern.test(module))).map(
      (module) =>
        `${module} is in the eager part, and no hook or plugin needs it: load it lazily (scripts/parts.ts)`,
    ),
  ];
}
