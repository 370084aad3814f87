/** A request to a service that speaks HTTP. */
export interface HttpRequest {
  readonly url: string;
  /** JSON. */
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds in which the answer has to come; of one that is read line by line, until the next line. */
  readonly timeoutMs: number;
  /** PEM texts. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Is given each line as it comes, of an answer that goes on. */
  readonly tell?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** An answer; of one that was told line by line the body is empty. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** A request that came, of a client that asks by POST with JSON. */
export interface HttpHeard {
  readonly path: string;
  readonly body: string;
}

/** How HTTP is served on a unix socket, for nobody but root. */
export interface HttpService {
  readonly socket: string;
  /** The most bytes of a request's body. */
  readonly longest: number;
  /** Milliseconds in which a request has to have come. */
  readonly wait: number;
  /** The type of all answers. */
  readonly contentType: string;
  serve(heard: HttpHeard): Promise<HttpAnswer>;
}

/** The most bytes of an answer, or of a line of one that goes on. */
export const longestAnswer = 64 * 1024 * 1024;
