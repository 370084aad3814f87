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
}

/** A request that a client sent: POST with JSON. */
export interface HttpHeard {
  readonly path: string;
  readonly body: string;
}

/** An HTTP service on a unix socket that only root can use. */
export interface HttpService {
  /** A path, or the descriptor of a socket that is listened on already. */
  readonly socket: string | number;
  /** The largest body of a request in bytes. */
  readonly longest: number;
  /** The time limit for receiving a request in milliseconds. */
  readonly wait: number;
  /** The content type of all answers. */
  readonly contentType: string;
  serve(heard: HttpHeard): Promise<HttpAnswer>;
}

/** The largest answer, or line of a streamed answer, in bytes. */
export const longestAnswer = 64 * 1024 * 1024;
