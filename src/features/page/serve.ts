import { contains, parseAddress } from "../../net/address.ts";
import type { HttpAnswer, HttpHeard } from "../../plan/http.ts";
import type { Listening, World } from "../../plan/world.ts";
import { messageOf } from "../../wire/cni/error.ts";
import { UsageError } from "../../wire/oci/options.ts";
import { drawHtml } from "../map/html.ts";
import { admit } from "./door.ts";
import { type Look, looking } from "./look.ts";
import { script } from "./script.ts";

/** A page that is served. */
export interface Page extends Listening {
  /** With the token, without which no one reads it. */
  readonly url: string;
}

/** Connections at once, and milliseconds for a request. */
const [most, wait] = [32, 5000];

/**
 * Serves the map of this host to those who have the page's URL, until it is closed.
 * @param at ADDRESS:PORT of loopback, a port of 127.0.0.1, or "" for any
 * @throws UsageError for another address; Error when it cannot listen there
 */
export async function servePage(world: World, state: string, at: string): Promise<Page> {
  const { host, port } = placeOf(at);
  const [token, look] = [random(), looking(world, state)];
  const listening = await world.serveHttp({
    ...{ socket: { host, port }, method: "GET", longest: 0, wait, most, contentType: "text/plain" },
    serve: async (heard) => {
      const { headers, ...answer } = await answerTo(heard, token, look);
      return { ...answer, headers: { ...always, ...headers } };
    },
  }).catch((error) => {
    throw new Error(
      `Cannot serve the page on "${at}": ${messageOf(error)}; name another port, or none for a free one`,
    );
  });
  const shown = host.includes(":") ? `[${host}]` : host;
  return { ...listening, url: `http://${shown}:${listening.port}/${token}/` };
}

function placeOf(at: string): { readonly host: string; readonly port: number } {
  const [, inBrackets, plain = "127.0.0.1", port] =
    /^(?:(?:\[(.+)\]|([^:]+)):)?([0-9]{1,5})$/.exec(at.replace(/^localhost:/, "") || "0") ?? [];
  const host = parseAddress(inBrackets ?? plain);
  const isLoopback = host !== undefined && (host === "::1" || contains("127.0.0.0/8", host));
  if (isLoopback && Number(port) < 65536) return { host, port: Number(port) };
  throw new UsageError(
    `Cannot serve the page on "${at}": it is served on loopback alone, such as 127.0.0.1:8000 or [::1]:8000; ` +
      "from another machine, read it by ssh -L 8000:127.0.0.1:8000 HOST",
  );
}

/** 128 bits that cannot be guessed, as hexadecimal digits. */
function random(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** What every answer tells a browser: it keeps nothing of it, shows it in no other page, and tells its URL to no one. */
const always = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "content-security-policy": "default-src 'none';frame-ancestors 'none'",
};

async function answerTo(heard: HttpHeard, token: string, look: () => Promise<Look>): Promise<HttpAnswer> {
  const asked = admit(heard, token);
  if (typeof asked !== "string") return asked;
  if (asked === "now") {
    const { version: map, rates } = await look();
    return {
      ...{ status: 200, body: JSON.stringify({ map, rates }) },
      headers: { "content-type": "application/json" },
    };
  }
  if (asked !== "") return { status: 404, body: "There is the page, and now.\n" };
  const [{ map, version }, nonce] = [await look(), random()];
  return {
    ...{ status: 200, body: drawHtml(map, { nonce, version, script }) },
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy":
        `default-src 'none';style-src 'nonce-${nonce}';script-src 'nonce-${nonce}';connect-src 'self';` +
        "base-uri 'none';form-action 'none';frame-ancestors 'none'",
    },
  };
}
