import assert from "node:assert/strict";
import { test } from "node:test";
import { claim } from "../../plan/step.ts";
import { fields } from "../../wire/cni/fields.ts";
import { realWorld } from "../../host/runtime.ts";
import type { Attachment } from "../../plan/attachment.ts";
import type { World } from "../../plan/world.ts";
import * as hostLocal from "./host_local.ts";

const world = realWorld();
let roots = 0;

/** Runs a test in a directory that is removed afterwards. */
function inDirectory(body: (root: string) => void): () => void {
  return () => {
    const root = `${world.env("TMPDIR") ?? "/tmp"}/ocinet-host-local-${world.pid}-${roots++}`;
    world.makeDirectory(root);
    try {
      body(root);
    } finally {
      world.remove(root);
    }
  };
}

function container(containerId: string, args: Readonly<Record<string, string>> = {}): Attachment {
  return {
    containerId,
    network: "n1",
    ifname: "eth0",
    args: new Map(Object.entries(args)),
  } as unknown as Attachment;
}

function parse(dataDir: string, ipam: Record<string, unknown>, conf: Record<string, unknown> = {}) {
  return hostLocal.parse(fields({ ...conf, ipam: { type: "host-local", dataDir, ...ipam } }));
}

type Conf = ReturnType<typeof parse>;

function take(conf: Conf, at: Attachment, through = world): string {
  return hostLocal.lease(conf, at, through).ips.map(({ address }) => address).join(" ");
}

/** The names in the network's directory, without the last_reserved_ip files. */
function held(root: string): string {
  return [...world.list(`${root}/n1`)].filter((name) => !name.startsWith("last_reserved_ip.")).sort().join(
    " ",
  );
}

const small = { subnet: "10.1.2.0/29" };

test(
  "addresses go round, and come back only after all others",
  inDirectory((root) => {
    const conf = parse(root, small);
    assert.deepEqual(["a", "b", "c"].map((id) => take(conf, container(id))), [
      "10.1.2.2/29",
      "10.1.2.3/29",
      "10.1.2.4/29",
    ]);
    hostLocal.release(conf, container("b"), world);
    assert.deepEqual(["d", "e", "f"].map((id) => take(conf, container(id))), [
      "10.1.2.5/29",
      "10.1.2.6/29",
      "10.1.2.3/29",
    ]);
    assert.throws(() => take(conf, container("g")), {
      code: 999,
      message: "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.6",
    });
    assert.equal(held(root), "10.1.2.2 10.1.2.3 10.1.2.4 10.1.2.5 10.1.2.6");
  }),
);

test(
  "files are the reference plugin's, byte for byte",
  inDirectory((root) => {
    const conf = parse(root, { ranges: [[small], [{ subnet: "fd00::/64" }]] });
    const { ips, claims } = hostLocal.lease(conf, container("c1"), world);
    assert.deepEqual(ips, [
      { address: "10.1.2.2/29", gateway: "10.1.2.1" },
      { address: "fd00::2/64", gateway: "fd00::1" },
    ]);
    assert.deepEqual([...world.list(`${root}/n1`)].sort(), [
      "10.1.2.2",
      "fd00::2",
      "last_reserved_ip.0",
      "last_reserved_ip.1",
    ]);
    const file = (name: string) => world.read(`${root}/n1/${name}`);
    assert.equal(file("10.1.2.2"), "c1\r\neth0");
    assert.equal(file("fd00::2"), "c1\r\neth0");
    assert.equal(file("last_reserved_ip.0"), "10.1.2.2");
    assert.equal(file("last_reserved_ip.1"), "fd00::2");
    assert.deepEqual([world.stat(`${root}/n1`)!.mode, world.stat(`${root}/n1/10.1.2.2`)!.mode], [
      0o755,
      0o600,
    ]);
    assert.deepEqual(
      claims,
      ["10.1.2.2", "fd00::2"].map((name) => claim(`${root}/n1/${name}`, "c1\r\neth0")),
    );
  }),
);

test(
  "the gateway is given to no container, wherever it lies, however full the set is",
  inDirectory((root) => {
    const conf = parse(root, { subnet: "10.1.2.0/27", gateway: "10.1.2.30" });
    for (let i = 1; i < 30; i++) assert.equal(take(conf, container(`c${i}`)), `10.1.2.${i}/27`);
    assert.throws(
      () => take(conf, container("more")),
      /no IP addresses available in range set: 10\.1\.2\.1-10\.1\.2\.30$/,
    );
  }),
);

test(
  "a set of several ranges uses one after the other",
  inDirectory((root) => {
    const conf = parse(root, { ranges: [[{ subnet: "10.1.2.0/30" }, { subnet: "10.1.3.0/30" }]] });
    assert.deepEqual(["a", "b"].map((id) => take(conf, container(id))), ["10.1.2.2/30", "10.1.3.2/30"]);
    assert.throws(() => take(conf, container("c")), {
      message: "failed to allocate for range 0: no IP addresses available in range set: " +
        "10.1.2.1-10.1.2.2,10.1.3.1-10.1.3.2",
    });
  }),
);

test(
  "sets are runtimeConfig's, then the old style's, then the rest",
  inDirectory((root) => {
    const conf = parse(
      root,
      { subnet: "10.2.0.0/24", rangeStart: "10.2.0.9", ranges: [[{ subnet: "10.3.0.0/24" }]] },
      { runtimeConfig: { ipRanges: [[{ Subnet: "10.1.0.0/24", RangeStart: "", Gateway: "10.1.0.254" }]] } },
    );
    assert.equal(take(conf, container("a")), "10.1.0.1/24 10.2.0.9/24 10.3.0.2/24");
  }),
);

test(
  "an address is had for the asking, by each of the three ways",
  inDirectory((root) => {
    const [four, six] = [{ subnet: "10.1.2.0/24" }, { subnet: "fd00::/64" }];
    const ask = (id: string, conf: Record<string, unknown>, args = {}) =>
      take(parse(root, { ranges: [[four], [six]] }, conf), container(id, args));
    assert.equal(ask("a", {}, { IP: "10.1.2.77" }), "10.1.2.77/24 fd00::2/64");
    assert.equal(ask("b", { args: { cni: { ips: ["10.1.2.78/32"] } } }), "10.1.2.78/24 fd00::3/64");
    assert.equal(
      ask("c", { runtimeConfig: { ips: ["FD00::99/64", "10.1.2.79"] } }),
      "10.1.2.79/24 fd00::99/64",
    );
    assert.equal(
      ask("d", { runtimeConfig: { ips: ["10.1.2.80"] } }, { IP: "10.1.2.80/24" }),
      "10.1.2.80/24 fd00::4/64",
    );
    assert.equal(world.read(`${root}/n1/last_reserved_ip.0`), undefined);
  }),
);

test(
  "an address outside of the range is given only if it is asked for, and requestable",
  inDirectory((root) => {
    const [range, rest] = [{ ...small, rangeStart: "10.1.2.5" }, { ...small, rangeEnd: "10.1.2.3" }];
    const conf = parse(root, { ranges: [[range]], requestable: [[rest, range]] });
    assert.equal(take(conf, container("a", { IP: "10.1.2.2" })), "10.1.2.2/29");
    assert.equal(take(conf, container("b", { IP: "10.1.2.5" })), "10.1.2.5/29");
    assert.equal(take(conf, container("c")), "10.1.2.6/29");
    assert.throws(
      () => take(conf, container("d")),
      /no IP addresses available in range set: 10.1.2.5-10.1.2.6/,
    );
    for (const IP of ["10.1.2.1", "10.1.2.2", "10.1.2.4", "10.1.2.7"]) {
      assert.throws(() => take(conf, container("d", { IP })), { code: 999 });
    }
  }),
);

test(
  "an address that cannot be had is refused, and whatever was taken before is given back",
  inDirectory((root) => {
    const conf = parse(root, { ranges: [[{ subnet: "fd00::/64" }], [small]] });
    take(conf, container("a", { IP: "10.1.2.5" }));
    const before = held(root);
    const given = "containers can have fd00::1-fd00::ffff:ffff:ffff:ffff or 10.1.2.1-10.1.2.6";
    const rows: readonly (readonly [string, string, string])[] = [
      [
        "10.1.2.5",
        "failed to allocate for range 1: requested IP address 10.1.2.5 is not available in range set 10.1.2.1-10.1.2.6",
        'container "a" has it',
      ],
      ["10.1.2.1", "failed to allocate for range 1: requested ip 10.1.2.1 is subnet's gateway", ""],
      ["10.9.9.9", "failed to allocate all requested IPs: 10.9.9.9", given],
      ["10.1.2.7", "failed to allocate all requested IPs: 10.1.2.7", given],
      ["10.1.2.5\n", "invalid IP address: 10.1.2.5\n", ""],
      ["../lock", "invalid IP address: ../lock", ""],
      ["010.1.2.5", "invalid IP address: 010.1.2.5", ""],
    ];
    for (const [IP, message, details] of rows) {
      assert.throws(() => take(conf, container("b", { IP })), { code: 999, message, details });
      assert.equal(held(root), before);
    }
    const both = { runtimeConfig: { ips: ["10.1.2.3", "10.1.2.4"] } };
    assert.throws(() => take(parse(root, small, both), container("b")), {
      message: "failed to allocate all requested IPs: 10.1.2.4",
    });
    assert.equal(held(root), before);
  }),
);

test(
  "routes and dns come with the lease",
  inDirectory((root) => {
    world.write(`${root}/resolv.conf`, "nameserver 10.0.0.53\nsearch a b\n");
    const routes = [{ dst: "0.0.0.0/0" }, { dst: "10.9.1.1/16", gw: "10.1.2.6" }];
    const lease = hostLocal.lease(
      parse(root, { ...small, routes, resolvConf: `${root}/resolv.conf` }),
      container("a"),
      world,
    );
    assert.deepEqual(lease.routes, [{ dst: "0.0.0.0/0" }, { dst: "10.9.0.0/16", gw: "10.1.2.6" }]);
    assert.deepEqual(lease.dns, { nameservers: ["10.0.0.53"], search: ["a", "b"], options: [] });
    assert.deepEqual(
      hostLocal.lease(parse(root, { ...small, resolvConf: "" }), container("b"), world).dns,
      {},
    );
    const before = held(root);
    assert.throws(() => take(parse(root, { ...small, resolvConf: `${root}/none` }), container("c")), {
      message: `Cannot read resolvConf "${root}/none": there is no such file`,
    });
    assert.equal(held(root), before);
  }),
);

test(
  "all that an attachment holds is given back, and no other's",
  inDirectory((root) => {
    const conf = parse(root, small);
    world.makeDirectory(`${root}/n1`);
    const files = {
      "10.1.2.2": "c1\r\neth0",
      "10.1.2.3": " c1\r\neth0\n",
      "10.1.2.4": "c1\r\neth1",
      "10.1.2.5": "c1",
      "10.1.2.6": "c10\r\neth0",
      "fd00::2": "c1\r\neth0\r\n",
      "lock": "c1\r\neth0",
      "last_reserved_ip.0": "c1\r\neth0",
    };
    for (const [name, text] of Object.entries(files)) world.write(`${root}/n1/${name}`, text);
    hostLocal.release(conf, container("c1"), world);
    assert.equal(held(root), "10.1.2.4 10.1.2.5 10.1.2.6 lock");
    hostLocal.release(conf, container("c1"), world);
    assert.equal(held(root), "10.1.2.4 10.1.2.6 lock", "the old format holds the container's id alone");
    hostLocal.release(conf, container("c1"), world);
    hostLocal.release(conf, container("nobody"), world);
    assert.equal(held(root), "10.1.2.4 10.1.2.6 lock");
    hostLocal.release(parse(`${root}/none`, small), container("c1"), world);
  }),
);

test(
  "a damaged marker is passed over",
  inDirectory((root) => {
    world.makeDirectory(`${root}/n1`);
    for (const text of ["", "x", "10.9.9.9", "10.1.2.3\n", "../../etc"]) {
      world.write(`${root}/n1/last_reserved_ip.0`, text);
      assert.equal(
        take(parse(root, small), container("a")),
        text.startsWith("10.1.2.3") ? "10.1.2.4/29" : "10.1.2.2/29",
      );
      hostLocal.release(parse(root, small), container("a"), world);
    }
  }),
);

test(
  "two that take at one moment never get one address",
  inDirectory((root) => {
    const conf = parse(root, small);
    const got: string[] = [];
    let nested = 0;
    const interrupted: World = {
      ...world,
      create: (path, text, mode) => {
        // Another process is faster, between the choice of an address and its reservation.
        if (nested++ < 4) got.push(take(conf, container(`other${nested}`), interrupted));
        return world.create(path, text, mode);
      },
    };
    got.push(take(conf, container("a"), interrupted));
    assert.deepEqual([...got].sort(), [2, 3, 4, 5, 6].map((i) => `10.1.2.${i}/29`));
    assert.throws(() => take(conf, container("b"), interrupted), /no IP addresses available/);
  }),
);

/** Names in a directory, and how often the directory is read. */
test(
  "an attachment that has an address is given no other of that range set, by name or not",
  inDirectory((root) => {
    const conf = parse(root, { ranges: [[small], [{ subnet: "fd00::/64" }]] });
    take(conf, container("a"));
    const problem = "10.1.2.2 has been allocated to a, duplicate allocation is not allowed";
    assert.equal(hostLocal.held(conf, container("a"), world), `failed to allocate for range 0: ${problem}`);
    assert.equal(hostLocal.held(conf, container("b"), world), undefined);
    assert.equal(
      hostLocal.held(conf, container("a", { IP: "10.1.2.5" }), world),
      "failed to allocate for range 1: fd00::2 has been allocated to a, duplicate allocation is not allowed",
    );
    // The attachment is of another network of the container; both use one directory.
    assert.equal(hostLocal.held(parse(root, { subnet: "10.9.9.0/24" }), container("a"), world), undefined);
  }),
);

function counting(names: Set<string>, marker: string): { readonly world: World; calls: number } {
  const count = { world: undefined as unknown as World, calls: 0 };
  const counted = <T>(answer: T) => (count.calls++, answer);
  const leaf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  count.world = {
    makeDirectory: () => counted(undefined),
    read: (path: string) => counted(path.endsWith("last_reserved_ip.0") ? marker : undefined),
    write: () => counted(undefined),
    stat: (path: string) => counted(names.has(leaf(path)) ? {} : undefined),
    list: () => counted([...names]),
    create: (path: string) => counted(!names.has(leaf(path)) && !!names.add(leaf(path))),
    random: Math.random,
    now: Date.now,
  } as unknown as World;
  return count;
}

test("with 60,000 addresses taken the next costs a few calls, and the last one free not many more", () => {
  const conf = parse("/d", { subnet: "10.1.0.0/16" });
  const all = Array.from({ length: 65533 }, (_, i) => `10.1.${(i + 2) >> 8}.${(i + 2) & 255}`);
  const next = counting(new Set(all.slice(0, 60000)), all[59999]!);
  assert.equal(take(conf, container("a"), next.world), `${all[60000]}/16`);
  assert.equal(next.calls, 8);
  const dense = counting(new Set(all.slice(0, 60000)), all[7]!);
  assert.ok(all.slice(60000).includes(take(conf, container("a"), dense.world).split("/")[0]!));
  const last = counting(new Set(all.filter((address) => address !== "10.1.77.7")), all[7]!);
  assert.equal(take(conf, container("a"), last.world), "10.1.77.7/16");
  assert.throws(() => take(conf, container("b"), last.world), /no IP addresses available/);
  for (const { calls } of [dense, last]) assert.ok(calls < 800, `${calls} calls`);
});

test("a configuration that cannot be is refused", () => {
  const nested = (key: string) => `Cannot read "${key}": it is not a list of lists of ranges`;
  const rows: readonly (readonly [unknown, number, string])[] = [
    [{}, 999, "IPAM config missing 'ipam' key"],
    [{ ipam: {} }, 999, "no IP ranges specified"],
    [{ ipam: { subnet: "", ranges: [] } }, 999, "no IP ranges specified"],
    [{ ipam: { ranges: {} } }, 6, nested("ranges")],
    [{ ipam: { ranges: [small] } }, 6, nested("ranges")],
    [{ ipam: { ranges: [[1]] } }, 6, 'Cannot read "ranges": it is a number, not an object'],
    [{ ipam: small, runtimeConfig: { ipRanges: "x" } }, 6, nested("ipRanges")],
    [{ ipam: { ranges: [[]] } }, 999, "invalid range set 0: empty range set"],
    [{ ipam: { ...small, routes: [{ dst: "x" }] } }, 6, "invalid CIDR address: x"],
  ];
  for (const [conf, code, message] of rows) {
    assert.throws(() => hostLocal.parse(fields(conf)), { code, message });
  }
  assert.equal(hostLocal.parse(fields({ ipam: small })).dataDir, "/var/lib/cni/networks");
});

test("a relative dataDir is refused", () => {
  assert.throws(() => parse("../x", { subnet: "10.1.2.0/24" }), {
    message: 'Cannot use dataDir "../x": it is not an absolute path',
  });
});

test(
  "what was begun in a process that was killed goes with a release, and what goes on does not",
  inDirectory((root) => {
    const conf = parse(root, small);
    take(conf, container("a"));
    const names = [`.10.1.2.5.${world.pid}.0`, ".10.1.2.5.4194305.0", ".last_reserved_ip.0.4194305.1"];
    names.forEach((name) => world.write(`${root}/n1/${name}`, "b\r\neth0"));
    hostLocal.release(conf, container("b"), world);
    assert.deepEqual(names.filter((name) => world.stat(`${root}/n1/${name}`)), names.slice(0, 1));
  }),
);

test(
  "CHECK looks at the reservations of its result, and at others only where these are not the attachment's",
  inDirectory((root) => {
    const conf = parse(root, small);
    const [a, b] = [container("a"), container("b")];
    const { ips } = hostLocal.lease(conf, a, world);
    take(conf, b);
    const lists: string[] = [];
    const seen = { ...world, list: (path: string) => (lists.push(path), world.list(path)) };
    const check = (at: Attachment) =>
      hostLocal.checkDrift(conf, at, seen, { ips, interfaces: [], routes: [], dns: {} });
    assert.equal(check(a), undefined);
    assert.deepEqual(lists, []);
    assert.equal(check(b), undefined);
    assert.deepEqual(lists, [`${root}/n1`]);
    assert.match(check(container("c"))!, /Failed to find address added by container c/);
  }),
);
