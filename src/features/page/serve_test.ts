import assert from "node:assert/strict";
import { test } from "node:test";
import { newFake } from "../../host/fake.ts";
import { serveHttp } from "../../host/http.ts";
import { builtin } from "../../host/node/builtin.ts";
import { stateDirectory } from "../../engine/state.ts";
import { UsageError } from "../../wire/oci/options.ts";
import { type Page, servePage } from "./serve.ts";

/** A page of a host without containers, on a real socket. */
async function served(at: string, act: (page: Page) => Promise<void>): Promise<void> {
  const { world } = newFake();
  const page = await servePage({ ...world, serveHttp }, stateDirectory(world), at);
  try {
    await act(page);
  } finally {
    page.close();
  }
}

type Headers = Readonly<Record<string, string | number>>;

interface Answer {
  readonly statusCode: number;
  readonly headers: Headers;
  setEncoding(name: string): Answer;
  on(event: string, tell: (part: string) => void): Answer;
}

interface Request {
  on(event: string, tell: (error: Error) => void): Request;
  end(body: string): void;
}

interface Connection {
  once(event: "connect", tell: (nothing: unknown) => void): void;
  destroy(): void;
}

/** Of node:http, what is used here. */
interface Client {
  request(url: string, options: Readonly<Record<string, unknown>>, tell: (answer: Answer) => void): Request;
}

/** What is answered: the status, the headers and the body. */
function ask(
  url: string,
  options: { readonly method?: string; readonly headers?: Headers } = {},
  body = "",
) {
  return new Promise<{ status: number; headers: Headers; text: string }>(
    (resolve, reject) => {
      const sent = builtin<Client>("node:http").request(url, { agent: false, ...options }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (part) => text += part)
          .on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      });
      sent.on("error", reject).end(body);
    },
  );
}

test("the page is on loopback alone", async () => {
  const { world } = newFake();
  const elsewhere = [
    "0.0.0.0:80",
    "[::]:80",
    "192.0.2.1:80",
    "localhost:65536",
    "localhost",
    "127.0.0.1",
    "127.0.0.1:65536",
    ":80",
    "x",
  ];
  for (const at of elsewhere) {
    await assert.rejects(
      servePage(world, stateDirectory(world), at),
      (error: Error) =>
        error instanceof UsageError && error.message.includes(`"${at}": it is served on loopback alone`),
    );
  }
});

test("the page is drawn by its own script and style, and says to keep nothing of it", async () => {
  await served("", async ({ url, port }) => {
    assert.match(url, new RegExp(`^http://127\\.0\\.0\\.1:${port}/[0-9a-f]{32}/$`));
    const { status, headers, text } = await ask(url);
    assert.equal(status, 200);
    const [, nonce] = /script-src 'nonce-([0-9a-f]{32})'/.exec(String(headers["content-security-policy"]))!;
    assert.ok(text.includes(`<script nonce="${nonce}">`) && text.includes(`<style nonce="${nonce}">`));
    assert.match(String(headers["content-security-policy"]), /^default-src 'none';.*frame-ancestors 'none'$/);
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["access-control-allow-origin"], undefined);
    const [, version] = /<main data-map="([0-9a-f]{16})">/.exec(text)!;
    assert.deepEqual(JSON.parse((await ask(`${url}now`)).text), { map: version, rates: {} });
    assert.equal((await ask(`${url}other`)).status, 404);
    await assert.rejects(
      served(`127.0.0.1:${port}`, () => Promise.resolve()),
      /^Error: Cannot serve the page on "127\.0\.0\.1:\d+": .*EADDRINUSE.*; name another port/,
    );
    await served("", (other) => Promise.resolve(assert.notEqual(other.url.split("/")[3], url.split("/")[3])));
  });
});

test("requests are refused that are none of a page's", async () => {
  for (const at of ["0", "localhost:0", "127.0.0.1:0"]) {
    await served(at, ({ url }) => Promise.resolve(assert.match(url, /^http:\/\/127\.0\.0\.1:/)));
  }
  await served("127.0.0.1:0", async ({ url }) => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"]) {
      assert.equal((await ask(url, { method })).status, 405, method);
    }
    assert.equal((await ask(url, { headers: { "content-length": 4 } }, "body")).status, 413);
    assert.equal((await ask(url, { headers: { host: "evil.example" } })).status, 403);
    const refused = await ask(url.replace(/[0-9a-f]{32}/, "0".repeat(32)));
    assert.equal(refused.status, 403);
    assert.equal(refused.headers["content-security-policy"], "default-src 'none';frame-ancestors 'none'");
    assert.equal(
      (await ask(url, { headers: { long: "x".repeat(100_000) } }).catch(() => ({ status: 431 }))).status,
      431,
    );
  });
});

test("more connections than it has room for are closed", async () => {
  await served("", async ({ url, port }) => {
    const net = builtin<
      { connect(port: number, host: string): NodeJS.ReadWriteStream & { destroy(): void } }
    >(
      "node:net",
    );
    const open = Array.from({ length: 32 }, () => net.connect(port!, "127.0.0.1"));
    await Promise.all(open.map((one) => new Promise((resolve) => one.once("connect", resolve))));
    await assert.rejects(ask(url));
    open.forEach((one) => one.destroy());
  });
});
