/** Who may read the page: what is asked of a request before anything is done for it. */
import type { HttpAnswer, HttpHeard } from "../../plan/http.ts";

/** Loopback by its name or an address, which no other site's name can be: a name may lead anywhere (DNS rebinding). */
const loopback = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?$/i;

/**
 * What of the page a request asks for, behind the token; or why it gets nothing.
 * @param token of hexadecimal digits
 */
export function admit({ path, headers }: HttpHeard, token: string): string | HttpAnswer {
  const { host, origin } = headers;
  if (typeof host !== "string" || !loopback.test(host)) {
    return refused("The page is served to 127.0.0.1, [::1] and localhost alone.");
  }
  const [, given = "", rest] = /^\/([^/]*)(?:\/(.*))?$/.exec(path) ?? [];
  if (origin !== undefined && origin !== `http://${host}` || isOfOtherSite(headers, rest)) {
    return refused("The page is not for other sites.");
  }
  if (!isSame(given, token) || rest === undefined) {
    return refused("Open the URL that ocinet agent printed last, with all of its token.");
  }
  return rest;
}

/** As a browser says it. A link elsewhere may lead to the page itself, which then no other site reads. */
function isOfOtherSite(headers: HttpHeard["headers"], rest: string | undefined): boolean {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return false;
  return !(rest === "" && headers["sec-fetch-mode"] === "navigate" &&
    headers["sec-fetch-dest"] === "document");
}

/** In a time that says nothing of where they differ. */
function isSame(given: string, token: string): boolean {
  let other = given.length ^ token.length;
  for (let i = 0; i < token.length; i++) {
    other |= given.charCodeAt(i % (given.length || 1)) ^ token.charCodeAt(i);
  }
  return other === 0;
}

function refused(text: string): HttpAnswer {
  return { status: 403, body: `${text}\n` };
}
