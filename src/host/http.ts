import type * as Http from "node:http";
import type * as Https from "node:https";
import { type HttpAnswer, type HttpRequest, longestAnswer } from "../plan/http.ts";
import { builtin } from "./node.ts";

/**
 * Sends a POST request, under both runtimes through Node's modules: Node's fetch takes no client certificates.
 * Every request has a connection of its own, so that certificates which have been replaced count at once.
 */
export function http(request: HttpRequest): Promise<HttpAnswer> {
  const { url, body, headers, tls, signal } = request;
  const module = url.startsWith("https:")
    ? builtin<typeof Https>("node:https")
    : builtin<typeof Http>("node:http");
  const options = {
    ...{ method: "POST", agent: false, ...tls },
    headers: { "content-type": "application/json", ...headers },
    ...(signal ? { signal } : {}),
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
        resolve({ status: answer.statusCode ?? 0, body: text });
      });
    });
    sent.end(body);
  });
}

/** A limit on how long nothing may come. */
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
