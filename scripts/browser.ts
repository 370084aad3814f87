/** A page in headless Chromium, by its protocol for tools. */

/** A page that is open. */
export interface Tab {
  /** Evaluates an expression, or waits for the promise that it is. */
  evaluate(expression: string): Promise<unknown>;
  /** A WebP file of what is seen. */
  screenshot(): Promise<Uint8Array>;
  /** What its console has of errors, such as an exception, or what a policy blocked. */
  readonly errors: readonly string[];
  close(): Promise<void>;
}

/** How a page is shown. */
export interface Shown {
  readonly width: number;
  readonly height: number;
  readonly isDark: boolean;
}

type Json = Record<string, unknown>;

/** Opens a URL in a browser of its own. */
export async function openTab(url: string, { width, height, isDark }: Shown): Promise<Tab> {
  const profile = Deno.makeTempDirSync();
  const browser = new Deno.Command("chromium", {
    args: [
      ...["--headless=new", "--no-sandbox", "--disable-lcd-text", "--hide-scrollbars", "--no-first-run"],
      ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
    ],
    ...{ stdout: "null", stderr: "null" },
  }).spawn();
  const errors: string[] = [];
  const call = await connect(await endpointIn(profile), ({ method, params }) => {
    const { level, text, url, exceptionDetails } = { ...params, ...params?.["entry"] as Json } as Record<
      string,
      string
    >;
    if (level === "error") errors.push(`${text} ${url ?? ""}`.trim());
    if (method === "Runtime.exceptionThrown") errors.push(JSON.stringify(exceptionDetails));
  });
  const { targetInfos } = await call("Target.getTargets");
  const { targetId } = (targetInfos as readonly Json[]).find(({ type }) => type === "page")!;
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const inTab = (method: string, given: Json = {}) => call(method, given, sessionId as string);
  await inTab("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  const features = [{ name: "prefers-color-scheme", value: isDark ? "dark" : "light" }];
  await inTab("Emulation.setEmulatedMedia", { features });
  await Promise.all([inTab("Log.enable"), inTab("Runtime.enable")]);
  await inTab("Page.navigate", { url });
  return {
    errors,
    evaluate: async (expression) => {
      const { result } = await inTab("Runtime.evaluate", {
        ...{ expression, awaitPromise: true, returnByValue: true },
      });
      return (result as Json)["value"];
    },
    screenshot: async () => {
      const { data } = await inTab("Page.captureScreenshot", { format: "webp", quality: 90 });
      return Uint8Array.from(atob(data as string), (letter) => letter.charCodeAt(0));
    },
    close: async () => {
      await call("Browser.close");
      await browser.status;
      Deno.removeSync(profile, { recursive: true });
    },
  };
}

/** Where the browser listens, once it does. */
async function endpointIn(profile: string): Promise<string> {
  for (;;) {
    try {
      const [port, path] = Deno.readTextFileSync(`${profile}/DevToolsActivePort`).split("\n");
      if (path) return `ws://127.0.0.1:${port}${path}`;
    } catch { /* Not yet. */ }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Call = (method: string, params?: Json, sessionId?: string) => Promise<Json>;

interface Event {
  readonly method: string;
  readonly params?: Json;
}

async function connect(url: string, hear: (event: Event) => void): Promise<Call> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, (answer: Json) => void>();
  socket.onmessage = ({ data }) => {
    const { id, result, error, ...event } = JSON.parse(data);
    if (id === undefined) return hear(event);
    if (error) console.error(error);
    waiting.get(id)?.(result ?? {});
  };
  await new Promise((resolve) => socket.onopen = resolve);
  let last = 0;
  return (method, params = {}, sessionId) => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params, ...sessionId === undefined ? {} : { sessionId } }));
    return new Promise((resolve) => waiting.set(id, resolve));
  };
}
