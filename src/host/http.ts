import type * as Http from "node:http";
import type * as Https from "node:https";
import { type HttpAnswer, type HttpRequest, type HttpService, longestAnswer } from "../plan/http.ts";
import type { Listening } from "../plan/world.ts";
import { builtin } from "./node/builtin.ts";
import { setUmask } from "./node/process.ts";

/**
 * Sends a POST request. Both runtimes use Node's modules, because Node's fetch supports no client certificates. Every
 * request has its own connection, so that replaced certificates take effect at once.
 */
export function http(request: HttpRequest): Promise<HttpAnswer> {
  const { url, body, headers, tls, signal, socket } = request;
  const module = url.startsWith("https:")
    ? builtin<typeof Https>("node:https")
    : builtin<typeof Http>("node:http");
  const options = {
    ...{ method: "POST", agent: false, ...tls },
    headers: { "content-type": "application/json", ...headers },
    ...(signal ? { signal } : {}),
    ...(socket === undefined ? {} : { socketPath: socket }),
  };
  return new Promise((resolve, reject) => {
    const sent = module.request(url, options);
    const timer = timerOf(request, (reason) => sent.destroy(new Error(reason)));
    const fail = (error: Error) => {
      timer.stop();
      reject(error);
    };
    sent.on("error", fail).on("response", (answer) => {
      answer.on("error", fail).on("aborted", () => fail(new Error("the connection was cut")));
      readAnswer(answer, request, timer.start, (text) => {
        timer.stop();
        resolve({ status: answer.statusCode ?? 0, body: text, date: answer.headers.date });
      });
    });
    sent.end(body);
  });
}

/** A time limit for the next data. */
function timerOf({ timeoutMs, tell }: HttpRequest, end: (reason: string) => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => clearTimeout(timer);
  const begin = () => {
    stop();
    timer = setTimeout(() => end(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
  };
  begin();
  return { stop, start: () => tell && begin() };
}

function readAnswer(
  answer: Http.IncomingMessage,
  { tell }: HttpRequest,
  heard: () => void,
  end: (text: string) => void,
): void {
  let text = "";
  answer.setEncoding("utf8").on("data", (part: string) => {
    heard();
    text += part;
    if (tell && answer.statusCode === 200) {
      const lines = text.split("\n");
      text = lines.pop()!;
      lines.forEach(tell);
    }
    if (text.length > longestAnswer) answer.destroy(new Error("the answer is too long"));
  }).on("end", () => end(text));
}

/** Serves requests of one method. Others get an error. */
export function serveHttp(service: HttpService): Promise<Listening> {
  const { socket, wait, most, contentType, serve } = service;
  const server = builtin<typeof Http>("node:http").createServer((request, response) => {
    const answer = ({ status, body, headers }: HttpAnswer) => {
      response.writeHead(status, { "content-type": contentType, ...headers });
      response.end(body);
    };
    const { url: path = "", headers } = request;
    hearBody(request, service)
      .then((body) => typeof body === "number" ? { status: body, body: "" } : serve({ path, body, headers }))
      // An error with one request must not end the service.
      .then(answer, () => answer({ status: 500, body: "" }))
      .catch(() => response.destroy());
  });
  server.requestTimeout = wait;
  server.headersTimeout = wait;
  if (most) server.maxConnections = most;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const umask = setUmask(0o177);
    server.listen(typeof socket === "number" ? { fd: socket } : socket, () => {
      server.on("error", () => {});
      const bound = server.address();
      resolve({
        close: () => void server.close(),
        ...bound && typeof bound === "object" ? { port: bound.port } : {},
      });
    });
    setUmask(umask);
  });
}

/** The body of a request, or the HTTP status that refuses it. */
function hearBody(request: Http.IncomingMessage, { longest, method }: HttpService): Promise<string | number> {
  if (request.method !== method) return Promise.resolve(405);
  let text = "";
  return new Promise((resolve, reject) => {
    request.setEncoding("utf8").on("error", reject).on("aborted", () => reject(new Error("cut")))
      .on("data", (part: string) => {
        if (text.length <= longest) text += part;
      })
      .on("end", () => resolve(text.length > longest ? 413 : text));
  });
}
