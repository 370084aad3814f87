import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHosts, parseHostsEntries } from "./hosts.ts";

test("names of one address come together", () => {
  assert.deepEqual(
    parseHostsEntries(["10.0.0.1=db,10.0.0.2=web", "10.0.0.1=db.local", "FD00::1=six"]),
    new Map([["10.0.0.1", ["db", "db.local"]], ["10.0.0.2", ["web"]], ["fd00::1", ["six"]]]),
  );
});

test("the host's own file may be asked for more than once, but with nothing else", () => {
  assert.equal(parseHostsEntries(["host"]), "host");
  assert.equal(parseHostsEntries(["host,host", "host"]), "host");
  assert.throws(() => parseHostsEntries(["host", "10.0.0.1=a"]), {
    message: "cannot pass --hosts-entry=host with multiple hosts-entries",
  });
});

test("an entry that is none is refused", () => {
  for (
    const entry of [
      "",
      "10.0.0.1",
      "=a",
      "10.0.0.1=",
      "10.0.0.1=a=b",
      "db=10.0.0.1",
      "db=fd00::1",
      "10.0.0.1=a b",
      "10.0.0.1=a\n6.6.6.6 b",
    ]
  ) {
    assert.throws(() => parseHostsEntries([entry]), {
      message: `Did not understand --hosts-entry ${JSON.stringify(entry)}: it is not IP=NAME`,
    });
  }
  for (const ip of ["x", "010.0.0.1", "10.0.0.1\t", "10.0.0.1/8"]) {
    assert.throws(() => parseHostsEntries([`${ip}=a`]), {
      message: `Invalid IP passed to --hosts-entry: ${JSON.stringify(ip)}`,
    });
  }
});

const localhost = `127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4
::1\tlocalhost localhost.localdomain localhost6 localhost6.localdomain6
fe00::0\tip6-localnet
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

test("a hosts file has localhost, the container's name beside it, and the entries", () => {
  assert.equal(formatHosts(new Map(), undefined), localhost);
  assert.equal(
    formatHosts(new Map([["10.0.0.1", ["db", "db.local"]]]), "box"),
    localhost.replace("localdomain4\n", "localdomain4 box\n") +
      "\n# Added by ocinet --hosts-entry\n10.0.0.1 db db.local\n",
  );
});
