import assert from "node:assert/strict";
import { test } from "node:test";
import type { World } from "../../plan/world.ts";
import { show } from "../../plan/step.ts";
import { digest, vethFrom } from "../../net/names.ts";
import { recover } from "./recover.ts";

const table = `table inet ocinet {
	set members4 {
		type ifname . ipv4_addr
		elements = { "blue0" . 10.1.1.2 comment "c1 veth1", "red0" . 10.1.1.2 comment "c2 veth2",
			     "blue0" . 10.1.1.22 comment "c11 veth3" }
	}

	set contained4 {
		type ifname . ipv4_addr
		elements = { "blue0" . 10.1.1.2, "red0" . 10.1.1.2,
			     "blue0" . 10.1.1.22 }
	}

	set contained6 {
		type ifname . ipv6_addr
	}

	set subnets4 {
		type ifname . ipv4_addr . ipv4_addr
		flags interval
		elements = { "blue0" . 10.1.1.2 . 10.1.1.0/24, "red0" . 10.1.1.2 . 10.1.1.0/24 }
	}

	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 comment "c1 veth1" : 10.1.1.2 . 80,
			     tcp . 8081 comment "c2 veth2" : 10.1.1.2 . 80 }
	}

	chain input {
		iifname != "lo" ct state != { established, related } drop
	}
}
`;

test("recover() finds addresses, ports, links and rules of a container by its name, and no other container's of its address", async () => {
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
    'delete element inet ocinet members4 { "blue0" . 10.1.1.2 }',
    'delete element inet ocinet contained4 { "blue0" . 10.1.1.2 }',
    'delete element inet ocinet subnets4 { "blue0" . 10.1.1.2 . 10.1.1.0/24 }',
    "delete element inet ocinet ports4 { tcp . 8080 : 10.1.1.2 . 80 }",
    `delete element inet ocinet whenports4 { tcp . 81 : jump ${veth}_tcp_81_4 }`,
  ]);
  assert.equal(
    show(steps.filter(({ tool }) => tool === "conntrack")),
    "conntrack -D -p udp --orig-port-dst 53\nconntrack -D -p udp --orig-dst 10.0.0.1 --orig-port-dst 54",
  );
});
