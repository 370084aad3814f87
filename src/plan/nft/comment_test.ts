import assert from "node:assert/strict";
import { test } from "node:test";
import { dropCommented } from "./comment.ts";

const listed = `table bridge nat { # handle 3
	chain PREROUTING { # handle 1
		type filter hook prerouting priority dstnat; policy accept;
		iifname "vetha02776e1" jump cni-br-iface-c1-eth0 comment "macspoofchk-c1-eth0" # handle 4
		iifname "veth11111111" jump cni-br-iface-c11-eth0 comment "macspoofchk-c11-eth0" # handle 8
		iifname "veth22222222" drop # handle 9
	}

	chain cni-br-iface-c1-eth0 { # handle 2
		jump cni-br-iface-c1-eth0-mac comment "macspoofchk-c1-eth0" # handle 5
	}

	chain cni-br-iface-c11-eth0 { # handle 6
	}
}
`;

test("dropCommented() deletes rules by comment, then the chains that are there", () => {
  const isTheirs = (comment: string) => comment === "macspoofchk-c1-eth0";
  const chains = ["cni-br-iface-c1-eth0", "cni-br-iface-c1-eth0-mac"];
  assert.equal(
    dropCommented(listed, { isTheirs, chains }),
    "delete rule bridge nat PREROUTING handle 4\n" +
      "delete rule bridge nat cni-br-iface-c1-eth0 handle 5\n" +
      "delete chain bridge nat cni-br-iface-c1-eth0\n",
  );
  assert.equal(dropCommented(listed, { isTheirs: () => false }), "");
  assert.equal(dropCommented("", { isTheirs, chains }), "");
});
