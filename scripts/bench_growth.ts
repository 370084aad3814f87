/**
 * The hook on hosts that have more and more: containers, as far as anything of ours could notice them, routes, addresses.
 * Each host is a network namespace with real links in it.
 */
import { type Group, hook, run } from "./bench_contenders.ts";

/** How many of each a host has beside the container that is timed. */
interface Host {
  readonly containers?: number;
  readonly routes?: number;
  readonly addresses?: number;
}

/** What the hook is to cost at most, of what it costs alone. */
export const mostGrowth = 1.1;

const times = "/run/times";

/** Runs a program and writes down the seconds that it and all it started took of processors. */
const timed = ["bash", "-c", `TIMEFORMAT="%3U %3S"; { time "$@" 2>&3; } 3>&2 2>>${times}`, "bash"];

const alone = "alone";

/** The hook on each host, with the network that is there without a file, and on a bridge. */
export const growth: Group = {
  title: "the hook among others: the default network and a bridge, each with one port",
  base: alone,
  alone: true,
  contenders: {
    ...on(alone, {}),
    ...on("400 containers", { containers: 400 }),
    ...on("1,000 containers", { containers: 1000 }),
    ...on("50,000 routes", { routes: 50_000 }),
    ...on("1,000 addresses", { addresses: 1000 }),
  },
};

function spent(): number {
  const all = Deno.readTextFileSync(times).trim().split(/\s+/).map(Number);
  Deno.removeSync(times);
  return 1000 * all.reduce((sum, seconds) => sum + seconds, 0);
}

function on(name: string, host: Host): Group["contenders"] {
  const attach = hook(Deno.execPath(), "default,bench", timed);
  return {
    [name]: {
      ...attach,
      isInstalled: () => true,
      prepare: async () => {
        await attach.prepare?.();
        await furnish(host);
      },
      plan: async (id, pid, port) => {
        const words = [
          "--net=default,bench",
          `--publish=${port}:80`,
          "--net-dir=/run/net.d",
          "--dry-run",
          "--id",
          id,
        ];
        await run([...timed, "dist/ocinet", "up", `${pid}`, ...words], "", {
          OCINET_RUNTIME: Deno.execPath(),
        });
      },
      spent,
    },
  };
}

/** Both families alike; the way out is a link of its own. */
async function furnish({ containers = 0, routes = 0, addresses = 0 }: Host): Promise<void> {
  const count = (most: number, line: (i: number) => readonly string[]) =>
    Array.from({ length: most }, (_, i) => line(i)).flat();
  await batch([
    "link add name up0 type veth peer name up1",
    ...["link set dev up0 up", "link set dev up1 up", "address add 192.0.2.1/24 dev up0"],
    ...["address add 2001:db8:1::1/64 dev up0 nodad", "route add default via 192.0.2.2"],
    "route add default via 2001:db8:1::2",
    ...count(addresses, (i) => [
      `address add 10.200.${i >> 8}.${i & 255}/32 dev up0`,
      `address add 2001:db8:9::${i.toString(16)}/128 dev up0 nodad`,
    ]),
    ...count(routes, (i) => [
      `route add 11.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32 via 192.0.2.2`,
      `route add 2001:db8:a::${i.toString(16)}/128 via 2001:db8:1::2`,
    ]),
  ]);
  if (containers > 0) await crowd(containers);
}

/**
 * Containers that are there: one that is attached, and for each of the others what that one has: a veth with addresses and
 * routes, a journal, leases, a port and elements in our table. To attach a thousand would take minutes.
 */
async function crowd(count: number): Promise<void> {
  await run(["ip", "netns", "add", "crowd"]);
  const words = ["--net=default", "--publish=9:80", "--id=first"];
  await run(["dist/ocinet", "up", "/run/netns/crowd", ...words], "", { OCINET_RUNTIME: Deno.execPath() });
  const journal = Deno.readTextFileSync("/run/ocinet/containers/first/journal.json");
  const others = Array.from({ length: count - 1 }, (_, i) => i + 1);
  await batch(others.flatMap((i) => linesOf(i)));
  const elements = others.flatMap((i) => elementsOf(i)).join("\n");
  await run(["nft", "-f", "-"], elements);
  for (const i of others) writeState(i, journal);
}

function addressOf(i: number): string {
  return `10.78.${i >> 8}.${i & 255}`;
}

function linesOf(i: number): readonly string[] {
  const link = `veth${i.toString(16).padStart(11, "0")}`;
  return [
    `link add name ${link} up type veth peer name eth${i} netns crowd`,
    `address add 10.78.255.254/32 dev ${link}`,
    `address add fd00:78::1/128 dev ${link} nodad`,
    `route add ${addressOf(i)}/32 dev ${link}`,
    `route add fd00:78::1:${i.toString(16)}/128 dev ${link}`,
  ];
}

function elementsOf(i: number): readonly string[] {
  const address = addressOf(i);
  const add = (set: string, element: string) => `add element inet ocinet ${set} { ${element} }`;
  return [
    ...[add("contained4", address), add("masquerade4", address), add("own4", `${address} . 10.78.0.0/16`)],
    add("ports4", `tcp . ${20000 + i} : ${address} . 80`),
  ];
}

function writeState(i: number, journal: string): void {
  const [id, directory] = [`crowd${i}`, `/run/ocinet/containers/crowd${i}`];
  Deno.mkdirSync(directory);
  Deno.writeTextFileSync(`${directory}/journal.json`, journal.replaceAll('"first"', `"${id}"`));
  Deno.writeTextFileSync(`/run/ocinet/networks/default/${addressOf(i)}`, `${id}\r\neth0`);
  Deno.mkdirSync(`/run/ocinet/ports/tcp/${20000 + i}`, { recursive: true });
  Deno.writeTextFileSync(`/run/ocinet/ports/tcp/${20000 + i}/any any`, id);
}

async function batch(lines: readonly string[]): Promise<void> {
  await run(["ip", "-batch", "-"], `${lines.join("\n")}\n`);
}
