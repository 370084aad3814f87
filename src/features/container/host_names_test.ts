import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { formatResolvConf } from "../../net/resolv_conf.ts";
import { renewNames, toldFile } from "./host_names.ts";

const directory = "/s/containers/c1";

/** A host, and a container that has got the host's name server. */
function told(own: string) {
  const fake = newFake();
  const text = formatResolvConf({ nameservers: ["192.0.2.1"], search: [], options: [] }, " from the host");
  fake.place("/etc/resolv.conf", "nameserver 192.0.2.1\n");
  fake.place(`${directory}/resolv.conf`, own === "" ? text : own);
  fake.place(toldFile(directory), text);
  return fake;
}

test("a container is told the host's name servers again once they have changed", () => {
  const fake = told("");
  assert.deepEqual(renewNames(fake.world, "/s", "c1"), []);
  fake.place("/etc/resolv.conf", "nameserver 127.0.0.1\n");
  assert.deepEqual(renewNames(fake.world, "/s", "c1"), []);
  fake.place("/etc/resolv.conf", "search a.example\nnameserver 192.0.2.7\n");
  const done = ["the host's name servers had changed, and it asks 192.0.2.7"];
  assert.deepEqual(renewNames(fake.world, "/s", "c1"), done);
  assert.match(
    fake.world.read(`${directory}/resolv.conf`)!,
    /from the host\n\nsearch a.example\nnameserver 192.0.2.7\n/,
  );
  assert.deepEqual(renewNames(fake.world, "/s", "c1"), []);
});

test("what a container has written itself stays, and who was told nothing is told nothing", () => {
  const fake = told("nameserver 192.0.2.99\n");
  fake.place("/etc/resolv.conf", "nameserver 192.0.2.7\n");
  assert.deepEqual(renewNames(fake.world, "/s", "c1"), []);
  assert.deepEqual(renewNames(fake.world, "/s", "c2"), []);
});
