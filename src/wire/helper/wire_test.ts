import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublish } from "../../net/port_mapping.ts";
import { parseOffer, parseRequest, parseResult, writeAnswer, writeRefusal, writeRequest } from "./wire.ts";

const attach = { do: "attach", id: "web", pid: 7, ifname: "eth0", ports: parsePublish("8080:80") } as const;

test("requests are read as they were written", () => {
  const requests = [
    attach,
    { ...attach, network: "shop", ports: parsePublish("[2001:db8::1]:53-54:53-54/udp") },
    { do: "detach", id: "web" },
    { do: "publish", id: "web", ports: parsePublish("8081:81/udp") },
    { do: "unpublish", id: "web", ports: parsePublish("192.0.2.1:8081:81") },
    { do: "show" },
  ] as const;
  for (const request of requests) assert.deepEqual(parseRequest(writeRequest(request)), request);
  assert.equal(
    writeRequest(attach),
    '{"do":"attach","id":"web","pid":7,"ifname":"eth0","ports":["8080:80/tcp"]}\n',
  );
});

test("a hostile request is refused, and its words are quoted on one short line", () => {
  const asked = (more: Readonly<Record<string, unknown>>) =>
    JSON.stringify({ ...attach, ports: [], ...more });
  const rows = [
    ["", "Cannot read the request: it is not JSON"],
    ["[]", "Cannot read the request: it is not a JSON object"],
    ['{"__proto__":{"do":"show"}}', "Cannot do nothing: there are show, attach, detach, publish, unpublish"],
    ['{"do":"toString"}', 'Cannot do "toString": there are show, attach, detach, publish, unpublish'],
    [asked({ mac: 1 }), 'Cannot use key "mac": "attach" has no such key'],
    [asked({ id: "../a\nb" }), /^Cannot use id "\.\.\/a\\nb": it may have only letters/],
    [asked({ id: "a".repeat(129) }), /^Cannot use id "a{56}\.\.\.: it is longer than 128 characters$/],
    [asked({ pid: "1" }), 'Cannot use pid "1": it is not a number from 1 to 4194304'],
    [asked({ pid: 0 }), "Cannot use pid 0: it is not a number from 1 to 4194304"],
    [asked({ pid: 1.5 }), "Cannot use pid 1.5: it is not a number from 1 to 4194304"],
    [asked({ ifname: "lo" }), 'Cannot use ifname "lo": that is the loopback\'s'],
    [
      asked({ ifname: "a/b" }),
      'Cannot use ifname "a/b": interface name contains / or : or whitespace characters',
    ],
    [asked({ network: ["a"] }), "Cannot use network a list: it is not a string"],
    ['{"do":"publish","id":"web"}', "Cannot use ports nothing: they are not a list"],
    ['{"do":"unpublish","id":"web","pid":1,"ports":[]}', 'Cannot use key "pid": "unpublish" has no such key'],
    [asked({ ports: "80:80" }), 'Cannot use ports "80:80": they are not a list'],
    [asked({ ports: [{}] }), "Cannot use port an object: it is not a string as --publish has it"],
    [asked({ ports: ["1-65535:1-65535"] }), "Cannot publish more than 256 ports at once"],
  ] as const;
  for (const [line, message] of rows) assert.throws(() => parseRequest(line), { message });
});

test("answers are read as they were written, refusals are thrown", () => {
  const offer = { networks: [{ name: "shop", free: 2 }], ports: [{ first: 80, last: 90 }] };
  assert.deepEqual(parseOffer(writeAnswer(offer)), offer);
  assert.deepEqual(parseOffer('{"return":{}}'), { networks: [], ports: [] });
  assert.throws(() => parseOffer(writeRefusal('no "a"')), { message: 'no "a"' });
  assert.throws(() => parseOffer(""), { message: "it gave no answer; its log says why" });
  const interfaces = [{ name: "br0" }, { name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/proc/9/fd/3" }];
  assert.deepEqual(parseResult(writeAnswer({ interfaces }), "/proc/7/ns/net"), {
    interfaces: [{ name: "br0" }, { name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/proc/7/ns/net" }],
    ...{ ips: [], routes: [], dns: {} },
  });
});
