import assert from "node:assert/strict";
import { test } from "node:test";
import { installSignalHandlers } from "../../host/adoption.ts";
import { onDeno, realWorld } from "../../host/runtime.ts";
import { signals } from "../../plan/world.ts";
import { traits } from "./worker.ts";

const files: Readonly<Record<string, string>> = {
  "/proc/self/status": "Name:\tdeno\nUid:\t0\t0\t0\t0\nSigCgt:\t0440\nNoNewPrivs:\t0\nVmRSS:\t70000 kB\n",
  "/proc/self/task/1/children": "",
};
const links: Readonly<Record<string, string>> = {
  "/proc/self/fd/0": "/dev/null",
  "/proc/self/fd/7": "/run/ocinet/calls/b/1-0.3/answer",
  "/proc/self/fd/9": "/proc/1/fd",
  "/proc/self/ns/net": "net:[1]",
};

function traitsWith(more: Readonly<Record<string, string>>): string {
  const at = { ...files, ...links, ...more };
  return traits({
    list: (directory) => [
      ...new Set(
        Object.keys(at).filter((path) => path.startsWith(`${directory}/`))
          .map((path) => path.slice(directory.length + 1).split("/")[0]!),
      ),
    ],
    read: (path) => at[path],
    readLink: (path) => at[path],
  }, "/run/ocinet/calls/b");
}

test("what a call leaves in its process is noticed: descriptors, children, signals, privileges, namespaces", () => {
  const before = traitsWith({});
  const remains: readonly Readonly<Record<string, string>>[] = [
    { "/proc/self/fd/8": "/run/ocinet/lock" },
    { "/proc/self/fd/0": "pipe:[5]" },
    { "/proc/self/task/1/children": "77 " },
    { "/proc/self/status": files["/proc/self/status"]!.replace("0440", "4440") },
    { "/proc/self/status": files["/proc/self/status"]!.replace("NoNewPrivs:\t0", "NoNewPrivs:\t1") },
    { "/proc/self/ns/net": "net:[2]" },
  ];
  for (const left of remains) assert.notEqual(traitsWith(left), before, JSON.stringify(left));
});

test("slots, the listing itself, and memory do not count", () => {
  const more = {
    "/proc/self/fd/7": "/run/ocinet/calls/b/1-0.4/answer",
    "/proc/self/fd/8": "/run/ocinet/calls/b/1-0.4/request",
    "/proc/self/fd/9": "/proc/1/fd",
    "/proc/self/status": files["/proc/self/status"]!.replace("70000", "71000"),
  };
  assert.equal(traitsWith(more), traitsWith({}));
});

test("signal handlers that a runtime installs after its start are installed before the first call", () => {
  installSignalHandlers();
  const caught = () =>
    BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(realWorld().read("/proc/self/status")!)![1]}`);
  const later = ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"] as const;
  const bits = later.map((name) => 1n << BigInt(signals[name] - 1));
  assert.ok(!onDeno || bits.every((bit) => (caught() & bit) === bit));
});
