import { jsonProblem } from "../../net/json_problem.ts";

/** The state that a runtime passes to a hook on its standard input (runtime-spec, "State"). */
export interface State {
  readonly id: string;
  /** The container's first process, as the runtime numbers it; 0 if there is none, as at poststop. */
  readonly pid: number;
  /** Absolute, but "/" in crun's startContainer. */
  readonly bundle: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Reads the state. `status` is ignored, because runtimes name the stages differently.
 * @throws Error naming the field that is missing or has the wrong type
 */
export function parseState(text: string): State {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`Cannot read the OCI state on standard input: it is not JSON: ${jsonProblem(text)}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong("it is not an object");
  const { id, pid = 0, bundle = "", annotations } = json as Record<string, unknown>;
  if (typeof id !== "string" || id === "") throw wrong('it has no "id"');
  if (!Number.isSafeInteger(pid) || (pid as number) < 0) throw wrong(`its "pid" is ${JSON.stringify(pid)}`);
  if (typeof bundle !== "string") throw wrong(`its "bundle" is ${JSON.stringify(bundle)}`);
  return { id, pid: pid as number, bundle, annotations: parseStrings(annotations ?? {}) };
}

function parseStrings(json: unknown): Readonly<Record<string, string>> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw wrong('its "annotations" are no object');
  }
  const bad = Object.entries(json).find(([, value]) => typeof value !== "string");
  if (bad) throw wrong(`its annotation "${bad[0]}" is no string`);
  return json as Record<string, string>;
}

function wrong(reason: string): Error {
  return new Error(`Cannot read the OCI state on standard input: ${reason}`);
}
