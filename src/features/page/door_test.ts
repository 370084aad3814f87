import assert from "node:assert/strict";
import { test } from "node:test";
import { admit } from "./door.ts";

const token = "0123456789abcdef0123456789abcdef";
const host = "127.0.0.1:8000";

function asked(path: string, headers: Readonly<Record<string, string | undefined>> = {}) {
  const answer = admit({ path, body: "", headers: { host, ...headers } }, token);
  return typeof answer === "string" ? answer : `${answer.status} ${answer.body.trim()}`;
}

test("a request with the token gets the page, and what the page asks for", () => {
  assert.equal(asked(`/${token}/`), "");
  assert.equal(asked(`/${token}/now`), "now");
  assert.equal(asked(`/${token}/../x`), "../x");
});

test("without the whole token there is nothing", () => {
  const wrong = ["/", "/now", "//", `/${token.slice(1)}/`, `/${token}0/`, `/${token}${token}/`, `/${token}`];
  for (
    const path of [
      ...wrong,
      `/${"0".repeat(32)}/`,
      `/x/${token}/`,
      `/${token.toUpperCase()}/now`,
      `/?${token}/`,
    ]
  ) {
    assert.match(asked(path), /^403 Open the URL that ocinet agent printed last/, path);
  }
});

test("a name that may lead anywhere is not served, with the token or without", () => {
  for (
    const good of ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:65535", "[::1]:9"]
  ) {
    assert.equal(asked(`/${token}/`, { host: good }), "", good);
  }
  const bad = [
    "evil.example",
    "127.0.0.1.evil.example:8000",
    "localhost.evil.example",
    "10.0.0.1:8000",
    "",
    "[::2]:1",
  ];
  for (const name of [...bad, undefined, "127.0.0.1:8000/", "127.0.0.1:8000@evil.example", "x127.0.0.1"]) {
    assert.match(asked(`/${token}/`, { host: name }), /^403 The page is served to 127.0.0.1/, name);
  }
});

test("no other site reads the page; a link may lead to it", () => {
  const own = { origin: `http://${host}`, "sec-fetch-site": "same-origin" };
  assert.equal(asked(`/${token}/now`, own), "now");
  const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  assert.equal(asked(`/${token}/`, link), "");
  const others: readonly Readonly<Record<string, string>>[] = [
    { origin: "http://127.0.0.1:9000" },
    { origin: "null" },
    { origin: "https://evil.example" },
    { origin: `https://${host}` },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" },
    { ...link, "sec-fetch-dest": "iframe" },
    { ...link, origin: "https://evil.example" },
  ];
  for (const headers of others) {
    assert.match(
      asked(`/${token}/`, headers),
      /^403 The page is not for other sites/,
      JSON.stringify(headers),
    );
  }
  assert.match(asked(`/${token}/now`, link), /^403 /);
});
