import assert from "node:assert/strict";
import { test } from "node:test";
import { setLink } from "../../plan/ip.ts";
import { CniError } from "../../wire/cni/error.ts";
import { fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import { exhausted, parse, readLease, requestSteps } from "./dhcp.ts";

const at: Attachment = {
  ...{ containerId: "c1", network: "net", ifname: "eth0", netns: "/run/netns/box" },
  ...{ digest: "d", networkDigest: "n", args: new Map([["HOST", "web"]]) },
};

function read(ipam: Record<string, unknown>, type = "bridge") {
  return parse(fields({ type, ipam: { type: "dhcp", ...ipam } }));
}

/** The command line of the client, from its name on. */
function client(ipam: Record<string, unknown>, of = at, type = "bridge"): string {
  const spawn = requestSteps(read(ipam, type), of, "/state/d")[1]!;
  assert.equal(spawn.tool, "spawn");
  return spawn.run.slice(spawn.run.indexOf("udhcpc")).join(" ");
}

const common = "udhcpc -f -R -i eth0 -p /state/d/pid -s /bin/sh -t 5 -T 2 -V  -o";
const id = "-x 61:0063312f6e65742f65746830";

test("requestSteps() sets the link up, then starts a client with the reference's client id, to be ended with SIGTERM", () => {
  const [up, spawn, lend] = requestSteps(read({}), at, "/state/d");
  assert.deepEqual(up, setLink("container", "eth0", "up"));
  assert.equal(client({}), `${common} -O 1 -O 3 -O 6 -O 15 ${id}`);
  assert.ok(spawn?.tool === "spawn" && spawn.gracefulStop);
  assert.ok(lend?.tool === "exec" && lend.on === "container" && lend.run === undefined);
  assert.deepEqual([spawn.pidFile, spawn.cmdlineMarker, spawn.cleanupPaths], ["/state/d/pid", "/state/d", [
    "/state/d",
  ]]);
});

test("requestSteps() requestSteps for what is requested, by name or number, and skips the usual only where that is said", () => {
  const request = [{ option: "121" }, { option: "routers" }, { option: "domain-search" }];
  assert.equal(client({ request }), `${common} -O 1 -O 3 -O 6 -O 15 -O 121 -O 119 ${id}`);
  assert.equal(
    client({ request: [{ option: "subnet-mask", skipDefault: true }, { option: "3" }] }),
    `${common} -O 1 -O 3 ${id}`,
  );
});

test("exhausted() refuses links on which no server hears a broadcast", () => {
  const world = {
    env: () => "/bin",
    stat: (path: string) => path === "/bin/udhcpc" ? { kind: "file", mode: 0o755 } : undefined,
  } as unknown as World;
  const reason = (conf: Record<string, unknown>) => exhausted(parse(fields(conf)), at, world);
  const cannot = "Cannot ask for addresses by DHCP: ";
  assert.equal(reason({ type: "dummy" }), `${cannot}a link of type dummy leads to no server`);
  for (const mode of ["l3", "l3s"]) {
    assert.equal(
      reason({ type: "ipvlan", mode }),
      `${cannot}an ipvlan of mode ${mode} carries no broadcasts, which only mode l2 does`,
    );
  }
  for (
    const conf of [{ type: "ipvlan" }, { type: "ipvlan", mode: "l2" }, { type: "macvlan", mode: "vepa" }]
  ) {
    assert.equal(reason(conf), undefined);
  }
});

test("requestSteps() says what is provided, byte for byte; CNI_ARGS outweigh the value, and nothing is not said", () => {
  const provide = [
    { option: "host-name", value: "unused", fromArg: "HOST" },
    { option: "77", value: "ü\n;$(x)" },
    { option: "vendor-class-identifier", fromArg: "NONE" },
  ];
  assert.equal(
    client({ provide }),
    `${common} -O 1 -O 3 -O 6 -O 15 ${id} -x 12:776562 -x 77:c3bc0a3b24287829`,
  );
  const own = [{ option: "dhcp-client-identifier", value: "me" }];
  assert.equal(client({ provide: own }), `${common} -O 1 -O 3 -O 6 -O 15 -x 61:6d65`);
});

test("requestSteps() has answers broadcast on an ipvlan, and cuts a client id to the 255 bytes of an option", () => {
  assert.equal(client({}, at, "ipvlan"), `${common} -O 1 -O 3 -O 6 -O 15 ${id} -B`);
  const words = client({}, { ...at, containerId: "c".repeat(300) }).split(" ");
  assert.equal(words.at(-1), `61:00${"63".repeat(254)}`);
});

test("parse() refuses options that are none, or the client's own, and values that are too long", () => {
  const refused = (ipam: Record<string, unknown>, message: RegExp) =>
    assert.throws(() => client(ipam), (error) => error instanceof CniError && message.test(error.message));
  for (const option of ["colour", "0", "255", "256", "-1", "1.5", "", "constructor", "01"]) {
    refused(
      { request: [{ option }] },
      /^Cannot use DHCP option ".*": it is neither a number from 1 to 254 nor /,
    );
  }
  refused(
    { provide: [{ option: "53", value: "x" }] },
    /^Cannot provide DHCP option 53: the client itself says that$/,
  );
  refused(
    { provide: [{ option: "12", value: "ü".repeat(128) }] },
    /^Cannot provide DHCP option 12: its value is 256 bytes long, and 255 is the most$/,
  );
});

test("readLease() puts the priority on all routes", () => {
  const stdout = "ip=10.9.0.5\0mask=24\0router=10.9.0.1\0routes=10.0.0.0/10.9.0.3\0";
  assert.deepEqual(readLease(read({ priority: 7 }), at, { code: 0, stdout, stderr: "" }).routes, [
    { dst: "10.0.0.0/8", gw: "10.9.0.3", priority: 7 },
    { dst: "0.0.0.0/0", gw: "10.9.0.1", priority: 7 },
  ]);
});

test("readLease() says that no server has given an address, and what the client said", () => {
  const said = { code: 1, stdout: "", stderr: "udhcpc: started\nudhcpc: broadcasting discover\n" };
  assert.throws(() => readLease(read({}), at, said), {
    code: 11,
    message: 'Cannot get an address for "eth0" by DHCP: no server has given one within 10 s',
    details: "udhcpc: started\nudhcpc: broadcasting discover",
  });
});
