import assert from "node:assert/strict";
import { test } from "node:test";
import type { Attachment } from "../../plan/attachment.ts";
import { emptyResult } from "../../wire/cni/result.ts";
import { endpointOf } from "./endpoint.ts";

test("the link by which bandwidth limits what a container sends is not the one that leads to it", () => {
  const at = { digest: "0123456789abcdef", containerId: "c1", ifname: "eth0" } as Attachment;
  const linkOf = (...names: readonly string[]) => {
    const interfaces = [...names.map((name) => ({ name })), { name: "eth0", sandbox: "/run/netns/box" }];
    return endpointOf(at, { ...emptyResult, interfaces: [...interfaces, { name: "bwp0123456789ab" }] });
  };
  const [port, owner] = ["veth0123456789a", "c1 veth0123456789a"];
  assert.deepEqual(linkOf("br0", port), { link: "br0", owner });
  assert.deepEqual(linkOf("br0", port, "br0.7"), { link: "br0.7", owner });
  assert.deepEqual(linkOf(port), { link: port, owner });
  // Of another program's main type.
  assert.deepEqual(linkOf("cali1"), { link: "cali1", owner: "c1 cali1" });
  assert.equal(linkOf(), undefined);
});
