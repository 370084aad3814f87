import assert from "node:assert/strict";
import { test } from "node:test";
import { send } from "../../plan/step.ts";
import { parsePublish } from "../../net/port_mapping.ts";
import { helper } from "./helper.ts";
import { parseOptions } from "./options.ts";
import type { Host, Target } from "./uplink.ts";

const socket = "/run/ocinet-helper/1000";
const host: Host = {
  ...{ ipv6: true, routes: { 4: true, 6: true }, lowestPort: 1024 },
  service: {
    socket,
    offer: {
      networks: [{ name: "ocinet0", free: 1 }],
      ports: [{ first: 80, last: 90, protocol: "tcp" }],
    },
  },
};

const target = { host, id: "c1", pid: 9, lasting: 7, ifname: "eth0", netns: "/proc/7/ns/net" } as Target;

test("helper asks for the container's first process, and its undoing is known before", () => {
  const connected = (options: string) =>
    helper.connect(target, parseOptions(options, helper.keys), parsePublish("80:80"));
  const { steps, answer: { socket: asked, request }, read } = connected("network=shop");
  assert.deepEqual(steps, [send(socket, "attach c1", { undo: '{"do":"detach","id":"c1"}\n' })]);
  assert.equal(
    request,
    '{"do":"attach","id":"c1","pid":7,"ifname":"eth0","network":"shop","ports":["80:80/tcp"]}\n',
  );
  assert.equal(asked, socket);
  assert.equal(read('{"return":{"ips":[{"address":"10.0.0.2/24"}]}}').ips[0]?.address, "10.0.0.2/24");
  assert.ok(!connected("").answer.request.includes("network"));
});

test("helper tells the host's name servers, where the network tells none", () => {
  const names = { nameservers: ["192.0.2.53"], search: ["a.example"] };
  const telling = { ...target, host: { ...host, names } };
  const { read } = helper.connect(telling, parseOptions("", helper.keys), []);
  assert.deepEqual(read('{"return":{}}').dns, names);
  assert.deepEqual(read('{"return":{"dns":{"nameservers":["10.0.0.53"]}}}').dns, {
    nameservers: ["10.0.0.53"],
  });
});

test("helper asks for a port of a container that runs, and its undoing is known before", () => {
  assert.deepEqual(helper.publish({ id: "c1", socket, guest: "10.0.0.2" }, parsePublish("80:80")[0]!), {
    ...send(socket, "publish c1 80:80/tcp", {
      run: '{"do":"publish","id":"c1","ports":["80:80/tcp"]}\n',
      undo: '{"do":"unpublish","id":"c1","ports":["80:80/tcp"]}\n',
    }),
  });
});

test("helper works where it answers, has room, and is not to keep a container in", () => {
  const { service, ...without } = host;
  const offering = (offer: string | { networks: { name: string; free: number }[]; ports: [] }) => ({
    ...host,
    service: { ...service!, offer },
  });
  assert.equal(helper.problem(host, false), undefined);
  assert.match(helper.problem(host, true)!, /^default-restricted cannot be kept by it/);
  assert.match(
    helper.problem(without, false)!,
    /^it has no socket for you in \/run\/ocinet-helper; root starts it/,
  );
  assert.match(
    helper.problem(offering("refused"), false)!,
    /^it does not answer on \S+: refused; root starts it/,
  );
  const full = offering({ networks: [{ name: "ocinet0", free: 0 }], ports: [] });
  assert.match(helper.problem(full, false)!, /^you have all the containers that \S+ grants; end one, or /);
});

test("helper refuses ports that are not granted, saying which are", () => {
  const reason = (text: string, on = host) => helper.refusal(parsePublish(text)[0]!, on);
  assert.equal(reason("80:80"), undefined);
  assert.match(reason("91:80")!, /helper\.conf does not grant the port \(it grants: 80-90\/tcp\)$/);
  assert.match(reason("80:80/udp")!, /does not grant the port/);
});
