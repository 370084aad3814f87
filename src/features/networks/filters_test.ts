import assert from "node:assert/strict";
import { test } from "node:test";
import type { Network } from "./catalog.ts";
import { parseFilters } from "./filters.ts";
import { fillIn } from "./template.ts";

const keys = ["name", "id", "driver", "label", "label!", "type", "dangling", "until"];

function network(name: string, more: Partial<Network> = {}): Network {
  return {
    ...{
      name,
      id: `${name}00`,
      driver: "bridge",
      created: "2026-01-01T00:00:00.000Z",
      ipv4: true,
      ipv6: false,
    },
    ...{ internal: false, attachable: false, labels: {}, options: {}, ipam: [], predefined: false },
    ...more,
  };
}

const all = [
  network("foo", { labels: { a: "1", b: "" } }),
  network("foobar", { driver: "macvlan", labels: { a: "2" } }),
  network("xfoo"),
  network("host", { driver: "host", predefined: true, created: "" }),
];

function names(...filters: readonly string[]): string {
  const isWanted = parseFilters(filters, keys, Date.now);
  return all.filter((network) => isWanted({ network, isUsed: network.name === "xfoo" })).map(({ name }) =>
    name
  )
    .join(" ");
}

test("filters are Docker's: of one key one suffices, of labels and of keys all are needed", () => {
  assert.equal(names("name=foo"), "foo foobar xfoo");
  assert.equal(names("name=^foo$"), "foo");
  assert.equal(names("name=["), "");
  assert.equal(names("name="), "foo foobar xfoo host");
  assert.equal(names("name=bar", "name=xf"), "foobar xfoo");
  assert.equal(names("name=foo", "driver=macvlan"), "foobar");
  assert.equal(names("label=a"), "foo foobar");
  assert.equal(names("label=a", "label=b="), "foo");
  assert.equal(names("label!=a"), "xfoo host");
  assert.equal(names("type=builtin"), "host");
  assert.equal(names("dangling=true"), "foo foobar");
  assert.equal(names("until=1h"), "foo foobar xfoo");
  assert.equal(names("until=2025-01-01T00:00:00Z"), "");
  assert.throws(() => names("type=Custom"), { message: /^invalid filter 'type=Custom'/ });
  assert.throws(() => names("dangling=maybe"), { message: /^invalid filter 'dangling=maybe'/ });
  assert.throws(() => names("color=red"), { message: /^invalid filter 'color'; there are: name/ });
});

test("templates have fields, functions, range, if and with", () => {
  const value = {
    ...{ Name: "shop", Labels: { eu: "1" }, Containers: {} },
    IPAM: { Config: [{ Subnet: "10.5.0.0/24" }, { Subnet: "fd00::/64" }] },
  };
  assert.equal(fillIn("{{.Name}} is {{json .Labels}}", value), 'shop is {"eu":"1"}');
  assert.equal(fillIn("{{range .IPAM.Config}}{{.Subnet}} {{end}}", value), "10.5.0.0/24 fd00::/64 ");
  assert.equal(fillIn("{{(index .IPAM.Config 1).Subnet}}", value), "fd00::/64");
  assert.equal(fillIn('{{index .Labels "eu"}}{{len .Containers}}', value), "10");
  assert.equal(fillIn("{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", value), "eu=1");
  assert.equal(fillIn("{{if .Containers}}used{{else}}free{{end}}", value), "free");
  assert.equal(fillIn('{{if eq .Name "a" "shop"}}it{{end}}{{if not .Labels}}no{{end}}', value), "it");
  assert.equal(fillIn("{{with index .IPAM.Config 0}}{{.Subnet}}{{end}}", value), "10.5.0.0/24");
  assert.equal(fillIn("{{range .IPAM.Config -}}\n  {{.Subnet}} {{- end}}", value), "10.5.0.0/24fd00::/64");
  assert.throws(() => fillIn("{{.Foo}}", value), { message: /can't evaluate field Foo/ });
  assert.throws(() => fillIn("{{nosuch .Name}}", value), { message: /function "nosuch" not defined/ });
  for (const open of ["{{", "{{.Name", "{{.Name}} {{ x", "{{range .Labels}}{{.}"]) {
    assert.throws(() => fillIn(open, value), { message: /^template parsing error: .*: unclosed action$/ });
  }
  assert.equal(fillIn("}} { {{.Name}} }", value), "}} { shop }");
  assert.throws(() => fillIn("{{range .Labels}}", value), { message: /an {{end}} is missing/ });
});
