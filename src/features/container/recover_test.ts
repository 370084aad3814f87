import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../../plan/world.ts";
import { show } from "../../plan/step.ts";
import { digest, vethFrom } from "../../net/names.ts";
import { elementsOf, recover } from "./recover.ts";

const table = `table inet ocinet {
	set contained4 {
		type ipv4_addr
		elements = { 10.1.1.2, 10.1.1.3,
			     10.1.1.22 }
	}

	set contained6 {
		type ipv6_addr
	}

	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 : 10.1.1.2 . 80,
			     tcp . 8081 : 10.1.1.22 . 80 }
	}

	chain input {
		iifname != "lo" ct state != { established, related } drop
	}
}
`;

test("elementsOf() has each element with its set, and no sets of rules", () => {
  assert.deepEqual(elementsOf(table).map(({ set, element }) => `${set} ${element}`), [
    "contained4 10.1.1.2",
    "contained4 10.1.1.3",
    "contained4 10.1.1.22",
    "ports4 tcp . 8080 : 10.1.1.2 . 80",
    "ports4 tcp . 8081 : 10.1.1.22 . 80",
  ]);
  assert.deepEqual(elementsOf(""), []);
});

test("recover() finds addresses, ports, links and rules of a container by its name", async () => {
  const veth = vethFrom(await digest("c1", "blue", "eth0"));
  const conditional = `\tmap whenports4 {
\telements = { tcp . 81 : jump ${veth}_tcp_81_4, tcp . 82 : jump veth00000000000_tcp_82_4 }
\tchain ${veth}_tcp_81_4 {
\tchain veth00000000000_tcp_82_4 {
`;
  const files: Record<string, string> = {
    "/s/networks/blue/10.1.1.2": "c1\r\neth0",
    "/s/networks/blue/10.1.1.22": "c11\r\neth0",
    "/s/networks/blue/last_reserved_ip.0": "10.1.1.22",
    "/s/ports/tcp/8080/any any": "c1",
    "/s/ports/udp/53/any any": "c1",
    "/s/ports/udp/54/4 10.0.0.1": "c1",
    "/s/ports/tcp/8081/any any": "c11",
  };
  const world = {
    uid: 0,
    env: () => undefined,
    read: (path: string) => files[path],
    readStart: () => undefined,
    readLink: () => "net:[1]",
    stat: (path: string) => {
      if (path === "/proc/sys/net/ipv4/ip_forward") return { uid: 0 };
      return path === `/proc/sys/net/ipv4/conf/${veth}` ? {} : undefined;
    },
    list: (path: string) => [
      ...new Set(
        Object.keys(files).filter((name) => name.startsWith(`${path}/`)).map((name) =>
          name.slice(path.length + 1).split("/")[0]!
        ),
      ),
    ],
    run: (argv: readonly string[]) =>
      Promise.resolve({ code: 0, stderr: "", stdout: argv.includes("inet") ? table + conditional : "" }),
  } as unknown as World;
  const { steps } = await recover(world, "/s", "c1");
  assert.equal(
    show(steps.filter(({ tool }) => tool === "claim")),
    "claim /s/networks/blue/10.1.1.2\nclaim /s/ports/tcp/8080/any any\nclaim /s/ports/udp/53/any any\n" +
      "claim /s/ports/udp/54/4 10.0.0.1",
  );
  assert.deepEqual(steps.flatMap((step) => "undo" in step ? [step.undo] : []), [
    `link del dev ${veth}`,
    `delete chain inet ocinet ${veth}_tcp_81_4`,
    "delete element inet ocinet contained4 { 10.1.1.2 }",
    "delete element inet ocinet ports4 { tcp . 8080 : 10.1.1.2 . 80 }",
    `delete element inet ocinet whenports4 { tcp . 81 : jump ${veth}_tcp_81_4 }`,
  ]);
  assert.equal(
    show(steps.filter(({ tool }) => tool === "conntrack")),
    "conntrack -D -p udp --orig-port-dst 53\nconntrack -D -p udp --orig-dst 10.0.0.1 --orig-port-dst 54",
  );
});
