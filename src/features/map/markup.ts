import { plain } from "./blocks.ts";
import type { NetworkMap } from "./model.ts";

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A text that any user may have written, for HTML and XML, between tags and in quotes. */
export function escaped(text: string): string {
  return plain(text).replaceAll(/[&<>"']/g, (letter) => entities[letter]!);
}

/** What a map is of, in a sentence. */
export function summary({ containers, networks }: Pick<NetworkMap, "containers" | "networks">): string {
  return `${count(containers.length, "container")} on ${count(networks.length, "network")}`;
}

/** A number of things, in words. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** Colours as custom properties, for light and dark; every pair has a contrast of 4.5 or more. */
export const palette =
  ":root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--line:#6e7781;--box:#f3f5f7;" +
  "--address:#05508a;--port:#116329;--way:#6639ba;--state:#b3131f;--focus:#0969da}" +
  "@media(prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--line:#7d8590;--box:#161b22;" +
  "--address:#79c0ff;--port:#56d364;--way:#d2a8ff;--state:#ff8b84;--focus:#58a6ff}}";
