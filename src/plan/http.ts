/** A request to a service that speaks HTTP. */
export interface HttpRequest {
  readonly url: string;
  /** JSON text. */
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The time limit for the answer in milliseconds. For a streamed answer it applies to each line. */
  readonly timeoutMs: number;
  /** PEM texts. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    /** False: the server's certificate is not verified. */
    readonly rejectUnauthorized?: boolean;
  };
  /** The unix socket to send it to; then only the path and the host name of `url` count. */
  readonly socket?: string;
  /** Makes the answer a stream: this is called with each line as it arrives. */
  readonly tell?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** An answer. The body of a streamed answer is empty. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** When it was given by the server's clock, as HTTP says it. */
  readonly date?: string | undefined;
  /** Of an answer of ours. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that a client sent. */
export interface HttpHeard {
  readonly path: string;
  readonly body: string;
  /** By their names in small letters. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** An HTTP service: on a unix socket that only root can use, or on TCP. */
export interface HttpService {
  /** A path, the descriptor of a socket that is listened on already, or an address with a port, 0 for any free one. */
  readonly socket: string | number | { readonly host: string; readonly port: number };
  /** The one method that is served. */
  readonly method: "GET" | "POST";
  /** The largest body of a request in bytes. */
  readonly longest: number;
  /** The time limit for receiving a request in milliseconds. */
  readonly wait: number;
  /** The most connections at once; others are closed. */
  readonly most?: number;
  /** The content type of all answers that have none of their own. */
  readonly contentType: string;
  serve(heard: HttpHeard): Promise<HttpAnswer>;
}

/** The largest answer, or line of a streamed answer, in bytes. */
export const longestAnswer = 64 * 1024 * 1024;
