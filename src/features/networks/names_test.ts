import assert from "node:assert/strict";
import { test } from "node:test";
import { apply } from "../../engine/apply.ts";
import { newFake } from "../../host/fake.ts";
import { type ContainerRecord, recordFormat, writeRecord } from "../../engine/record.ts";
import { parseNetworkList } from "../../wire/cni/network_list.ts";
import { emptyResult } from "../../wire/cni/result.ts";
import type { Claim } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import { withBlock } from "./hosts_driver.ts";
import { checkAliases, checkNames, nameSteps, refreshNames, resolversOf } from "./names.ts";

const state = "/run/ocinet";

function network(name: string, more: object = { ocinet: {} }) {
  return parseNetworkList(JSON.stringify({ name, plugins: [{ type: "bridge" }], ...more }), "x.conflist");
}

function member(name: string, ...addresses: readonly string[]) {
  const ips = addresses.map((address) => ({ address }));
  return {
    network: network(name),
    ifname: "eth0",
    digest: "0",
    aliases: ["api"],
    result: { ...emptyResult, ips },
  };
}

/** The files that tell of a container on networks with names in hosts files: there is nothing else. */
function nameClaims(
  at: string,
  { id }: { id: string },
  attachments: readonly ReturnType<typeof member>[],
  hostname: string | undefined,
): readonly Claim[] {
  return nameSteps(newFake().world, at, { id, hostname }, attachments) as readonly Claim[];
}

test("a container is known by its id, host name and aliases, in both families", () => {
  const [claim, ...others] = nameClaims(
    state,
    { id: "web" },
    [member("shop", "10.5.0.2/24", "fd00:5::2/64")],
    "www",
  );
  assert.deepEqual(others, []);
  assert.equal(claim!.path, "/run/ocinet/names/shop/web eth0");
  assert.equal(claim!.owner, "10.5.0.2 web www api\nfd00:5::2 web www api");
  const id = "0123456789ab".padEnd(64, "c");
  const [long] = nameClaims(state, { id }, [member("shop", "10.5.0.2/24")], "a b\nevil");
  assert.equal(long!.owner, `10.5.0.2 ${id} 0123456789ab api`);
  assert.deepEqual(
    nameClaims(state, { id }, [{ ...member("x", "10.5.0.2/24"), network: network("x", {}) }], ""),
    [],
  );
});

test("names come and go in the hosts files of those on the network, which are written in place", async () => {
  const { world } = newFake();
  const join = (id: string, name: string, address: string) => {
    world.makeDirectory(`${state}/containers/${id}`);
    world.write(`${state}/containers/${id}/hosts`, "127.0.0.1\tlocalhost\n10.9.9.9 mine\n");
    const [claim] = nameClaims(state, { id }, [member(name, address)], undefined);
    world.makeDirectory(`${state}/names/${name}`);
    world.write(claim!.path, claim!.owner);
  };
  const hosts = (id: string) => world.read(`${state}/containers/${id}/hosts`);
  const identity = (id: string) => world.stat(`${state}/containers/${id}/hosts`)!.identity;
  join("web", "shop", "10.5.0.2/24");
  join("db", "shop", "10.5.0.3/24");
  join("other", "apart", "10.6.0.2/24");
  world.write(`${state}/names/shop/~ hosts`, "10.5.0.4 elsewhere");
  const before = identity("web");
  await refreshNames(world, state, ["shop", "apart"]);
  const own = "127.0.0.1\tlocalhost\n10.9.9.9 mine\n";
  const block =
    "# ocinet: network shop\n10.5.0.3 db api\n10.5.0.2 web api\n10.5.0.4 elsewhere\n# ocinet: end of shop\n";
  assert.deepEqual([hosts("web"), hosts("db")], [own + block, own + block]);
  assert.equal(identity("web"), before);
  assert.doesNotMatch(hosts("other")!, /10\.5/);
  world.makeDirectory(`${state}/drained/shop`);
  world.write(`${state}/drained/shop/db eth0`, "api");
  await refreshNames(world, state, ["shop"]);
  assert.equal(hosts("web"), own + block.replace("db api", "db"));
  world.remove(`${state}/names/shop/db eth0`);
  await refreshNames(world, state, ["shop"], { id: "db", hasLeft: true });
  assert.equal(hosts("db"), own);
  assert.match(hosts("web")!, /^10\.5\.0\.2 web api$/m);
  assert.doesNotMatch(hosts("web")!, /10\.5\.0\.3/);
});

test("what a container wrote into its file stays, whatever it did to our lines", () => {
  const block = { network: "shop", lines: ["10.5.0.2 web"] };
  const ours = "# ocinet: network shop\n10.5.0.2 web\n# ocinet: end of shop\n";
  assert.equal(
    withBlock("a\n# ocinet: network shop\nold\n# ocinet: end of shop\nb\n", block),
    `a\n${ours}b\n`,
  );
  assert.equal(withBlock("# ocinet: end of shop\na\n", block), `# ocinet: end of shop\na\n${ours}`);
  assert.equal(withBlock("", { ...block, lines: [] }), "\n");
});

const loopbackNames = [
  ...["localhost", "LOCALHOST", "localhost.", "x.localhost", "localhost.localdomain", "localhost4"],
  ...["localhost6.localdomain6", "ip6-localhost", "ip6-loopback"],
];

test("no container is localhost to its neighbours, whatever its id, host name or alias", () => {
  const { world } = newFake();
  for (const name of loopbackNames) {
    const named = { id: name, hostname: name };
    const [step] = nameSteps(world, state, named, [{ ...asking("shop"), aliases: [name, "api"] }]);
    assert.match((step as Claim).owner, /\n10\.5\.0\.2 api\nfd00:5::2 api$/);
  }
});

test("aliases are for networks that were created", () => {
  assert.throws(() => checkAliases(network("x", {}), ["api"]), {
    message: /^network-scoped aliases are only supported for user-defined networks/,
  });
  assert.throws(() => checkAliases(network("shop"), ["a b"]), { message: /^Cannot use alias "a b"/ });
  checkAliases(network("shop"), ["api", "_x.y", "localhost.example.org"]);
  for (const alias of loopbackNames) {
    assert.throws(() => checkAliases(network("shop"), [alias]), { message: /take it for the host/ });
  }
});

/** A container on a network whose names are asked of the resolver. */
function asking(name: string, more: object = {}) {
  const plugins = [{ type: "bridge", isGateway: true, ...more }];
  const ips = [{ address: "10.5.0.2/24", gateway: "10.5.0.1" }, {
    address: "fd00:5::2/64",
    gateway: "fd00:5::1",
  }];
  const result = { ...emptyResult, ips, dns: { nameservers: ["192.0.2.53"] } };
  return {
    network: network(name, { ocinet: { options: { names: "dns" } }, plugins }),
    ifname: "eth0",
    digest: "0123456789abcdef",
    result,
  };
}

test("by the resolver a file says where it listens and whom it asks; one rule a address, one process for all", () => {
  const { world } = newFake();
  const steps = nameSteps(world, state, { id: "web" }, [asking("shop"), asking("back", { internal: true })]);
  assert.deepEqual(steps.map(({ tool, id }) => `${tool} ${"set" in id ? `${id.set} ${id.key}` : id.kind}`), [
    "claim file",
    "nft inet ocinet resolvers4 10.5.0.1",
    "nft inet ocinet resolvers6 fd00:5::1",
    "spawn process",
    "claim file",
  ]);
  const texts = steps.flatMap((step) => step.tool === "claim" ? [step.owner] : []);
  const head = {
    listen: ["10.5.0.1/24", "fd00:5::1/64"],
    internal: false,
    servers: ["192.0.2.53"],
    link: "veth0123456789a",
  };
  assert.deepEqual(texts, [
    `# ${JSON.stringify(head)}\n10.5.0.2 web\nfd00:5::2 web`,
    `# ${JSON.stringify({ ...head, internal: true })}\n10.5.0.2 web\nfd00:5::2 web`,
  ]);
  const given = nameSteps(world, state, { id: "web", nameServers: ["203.0.113.1"] }, [asking("shop")]);
  assert.match((given[0] as Claim).owner, /"servers":\["203\.0\.113\.1"\]/);
  assert.deepEqual(resolversOf([member("red", "10.7.0.2/24"), asking("shop")]), ["10.5.0.1", "fd00:5::1"]);
});

test("only a bridge with an address of its own has a resolver", () => {
  const check = (main: object, names = "dns") =>
    checkNames({ ...network("x", { plugins: [main] }), name: "x" }, names);
  check({ type: "bridge", isGateway: true });
  check({ type: "macvlan" }, "hosts");
  assert.throws(() => check({ type: "bridge" }), /its bridge has none, or of one family only; leave it out/);
  assert.throws(() => check({ type: "macvlan" }), /driver macvlan gives the host none/);
  assert.throws(() => check({ type: "bridge" }, "bind"), /"bind" \(there are: hosts, dns\)/);
});

test("the resolver is told of who comes and goes, is started where it has ended, and does not end without a word", async () => {
  const { world, kernel } = newFake();
  const [first, ...others] = nameSteps(world, state, { id: "web" }, [asking("shop")]);
  const claim = first as Claim;
  assert.equal(others.at(-1)!.tool, "spawn");
  world.makeDirectory(`${state}/names/shop`);
  world.write(claim.path, claim.owner);
  const running = () => kernel.processes.filter(({ cmdline }) => cmdline.startsWith("resolver")).length;
  await refreshNames(world, state, ["shop"]);
  assert.equal(running(), 1);
  await refreshNames(world, state, ["shop"]);
  assert.equal(running(), 1);
  world.remove(claim.path);
  await refreshNames(world, state, ["shop"], { id: "web", hasLeft: true });
  assert.equal(running(), 0);
  await refreshNames(world, state, ["shop"]);
  assert.equal(running(), 0);
});

test("a member that comes or goes on a network with a resolver has one file read, however many there are", async () => {
  const { world } = newFake();
  world.makeDirectory(`${state}/names/shop`);
  const read: string[] = [];
  const watched = { ...world, read: (path: string) => (read.push(path), world.read(path)) };
  const filesRead = async (count: number, hasLeft: boolean) => {
    for (let i = 0; i < count; i++) {
      const [claim] = nameSteps(world, state, { id: `web${i}` }, [asking("shop")]);
      world.write((claim as Claim).path, (claim as Claim).owner);
    }
    await refreshNames(watched, state, ["shop"], { id: "web0", hasLeft });
    return read.splice(0).filter((path) => path.startsWith(`${state}/names/`)).length;
  };
  assert.deepEqual([await filesRead(1, false), await filesRead(50, false), await filesRead(50, true)], [
    1,
    1,
    1,
  ]);
});

test("where a network's names option was edited under running containers, those with hosts files are told of all", async () => {
  const { world } = newFake();
  const [asker, hosts] = [{ id: "asker" }, { id: "hosts" }];
  const [claim, told] = [
    nameSteps(world, state, asker, [asking("shop")])[0] as Claim,
    nameSteps(world, state, hosts, [member("shop", "10.5.0.9/24")])[0] as Claim,
  ];
  world.makeDirectory(`${state}/names/shop`);
  for (const { path, owner } of [claim, told]) world.write(path, owner);
  world.makeDirectory(`${state}/containers/hosts`);
  world.write(`${state}/containers/hosts/hosts`, "");
  await refreshNames(world, state, ["shop"], { id: "asker" });
  assert.match(world.read(`${state}/containers/hosts/hosts`)!, /^10\.5\.0\.9 hosts api$/m);
  world.remove(told.path);
  await refreshNames(world, state, ["shop"], { id: "hosts", hasLeft: true });
  assert.doesNotMatch(world.read(`${state}/containers/hosts/hosts`)!, /10\.5/);
});

test("the resolver is started where it does not run", async () => {
  const { world, kernel } = newFake();
  const step = nameSteps(world, state, { id: "web" }, [asking("shop")]).at(-1)!;
  const starts = async () => {
    const runs: string[] = [];
    const run: World["run"] = (argv, options) => (runs.push(argv.join(" ")), world.run(argv, options));
    await apply({ ...world, run }, { host: [], container: [] }, [step]);
    return runs.length;
  };
  assert.deepEqual([await starts(), await starts()], [1, 0]);
  kernel.processes = [];
  assert.equal(await starts(), 1);
});

/** A network of many members, whose names are in hosts files. */
async function manyMembers(count: number) {
  const { world } = newFake();
  const path = (id: string) => `${state}/containers/${id}/hosts`;
  const join = (id: string, address: string) => {
    world.makeDirectory(`${state}/containers/${id}`);
    world.write(path(id), "127.0.0.1\tlocalhost\n");
    const [claim] = nameSteps(world, state, { id }, [member("shop", address)]);
    world.write((claim as Claim).path, (claim as Claim).owner);
  };
  world.makeDirectory(`${state}/names/shop`);
  for (let i = 0; i < count; i++) join(`m${i}`, `10.5.1.${i}/24`);
  await refreshNames(world, state, ["shop"]);
  return { world, join, path, hosts: (id: string) => world.read(path(id))! };
}

test("one that joins many has its lines added to their hosts files, and is told of all; one that leaves has them rewritten", async () => {
  const { world, join, hosts, path } = await manyMembers(100);
  const [before, written]: [string, string[]] = [hosts("m7"), []];
  const watched = {
    ...world,
    readStart: (path: string, most: number) => (written.push(path), world.readStart(path, most)),
    put: (path: string, text: string) => (written.push(path), world.put(path, text)),
  };
  join("new", "10.5.2.1/24");
  await refreshNames(watched, state, ["shop"], { id: "new" });
  assert.deepEqual(written, [path("new"), path("new")]);
  assert.equal(hosts("m7"), `${before}\n# ocinet: network shop\n10.5.2.1 new api\n# ocinet: end of shop\n`);
  assert.equal(hosts("new").match(/^10\.5\.\d+\.\d+ /gm)!.length, 101);
  world.put(path("m8"), `${hosts("m8")}10.9.9.9 mine`);
  join("last", "10.5.2.2/24");
  await refreshNames(world, state, ["shop"], { id: "last" });
  assert.match(hosts("m8"), /\n10\.9\.9\.9 mine\n# ocinet: network shop\n10\.5\.2\.2 last api\n/);
  world.remove(`${state}/names/shop/new eth0`);
  await refreshNames(world, state, ["shop"], { id: "new", hasLeft: true });
  const block = before.slice("127.0.0.1\tlocalhost\n".length);
  const [begin] = block.split("\n");
  assert.equal(hosts("m7").split(begin!).length, 2);
  assert.equal(hosts("m7"), before.replace(`${begin}\n`, `${begin}\n10.5.2.2 last api\n`));
  assert.equal(hosts("m8"), `${hosts("m7")}10.9.9.9 mine\n`);
  assert.equal(hosts("new"), "127.0.0.1\tlocalhost\n");
});

test("hosts files are rewritten for one that joins few, or takes over the name of one that was killed", async () => {
  const few = await manyMembers(20);
  few.join("new", "10.5.2.1/24");
  await refreshNames(few.world, state, ["shop"], { id: "new" });
  assert.equal(few.hosts("m7"), few.hosts("new"));
  const { world, join, hosts } = await manyMembers(100);
  const key = { part: "container", id: "m50", network: "", ifname: "" } as const;
  const nothing = { steps: [], attachments: [], ports: [], container: { netns: "", identity: "" } };
  const earlier: ContainerRecord = {
    ...{ ...key, ...nothing, format: recordFormat, bootId: "earlier", host: "", created: "", phase: "done" },
  };
  writeRecord(world, state, earlier);
  const [claim] = nameSteps(world, state, { id: "new", hostname: "m50" }, [member("shop", "10.5.2.1/24")]);
  join("new", "10.5.2.1/24");
  world.write((claim as Claim).path, (claim as Claim).owner);
  await refreshNames(world, state, ["shop"], { id: "new" });
  assert.deepEqual(hosts("m7").match(/^.* m50 .*$/gm), ["10.5.2.1 new m50 api"]);
});

test("what is drained is not added either", async () => {
  const { world, join, hosts } = await manyMembers(100);
  world.makeDirectory(`${state}/drained/shop`);
  world.write(`${state}/drained/shop/new eth0`, "api");
  join("new", "10.5.2.1/24");
  await refreshNames(world, state, ["shop"], { id: "new" });
  assert.match(hosts("m7"), /^10\.5\.2\.1 new$/m);
});

test("of many blocks of a network in a hosts file one is left, and what else there is stays", () => {
  const block = (...lines: readonly string[]) =>
    ["# ocinet: network shop", ...lines, "# ocinet: end of shop", ""].join("\n");
  const now = { network: "shop", lines: ["10.5.0.2 web"] };
  assert.equal(
    withBlock(`a\n${block("1")}b\n\n${block("2")}\n${block("3")}${block("4")}c\n\n`, now),
    `a\n${block("10.5.0.2 web")}b\nc\n\n`,
  );
  assert.equal(
    withBlock(`${block("1")}\n${block("2")}# ocinet: network shop\nc`, { ...now, lines: [] }),
    "# ocinet: network shop\nc\n",
  );
  const hostile = "# ocinet: network shop\n".repeat(40_000);
  assert.equal(withBlock(hostile, now), hostile + block("10.5.0.2 web"));
});
