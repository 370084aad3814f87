/** Whether what a record's file holds is a record. */
import type { PortMapping } from "../net/port_mapping.ts";
import { isStep, type Step } from "../plan/step.ts";
import { parseResult, type Result } from "../wire/cni/result.ts";

import type { Attached, BaseRecord, ContainerRecord, Namespace, PluginRecord } from "./record.ts";

/** Whether all of it is there that is used without looking. */
export function isBaseRecord(record: Partial<BaseRecord>): boolean {
  const { id, bootId, host, container, steps, waiting = [], before = 0 } = record;
  return areTexts(id, bootId, host) && isNamespace(container) && areSteps(steps) && areSteps(waiting) &&
    Number.isInteger(before);
}

/** Whether it has what a container's record has. */
export function isContainerRecord(record: Partial<ContainerRecord>): boolean {
  const { created, attachments, ports, restarting = [], changing = "", hostname = "", nameServers = [] } =
    record;
  return areTexts(created, changing, hostname) && Array.isArray(attachments) &&
    attachments.every(isAttached) &&
    Array.isArray(ports) && ports.every(isMapping) && Array.isArray(restarting) && areTexts(...restarting) &&
    Array.isArray(nameServers) && areTexts(...nameServers);
}

/** Whether it has what the record of a plugin's call has. */
export function isPluginRecord({ request, network, ifname, part, result }: Partial<PluginRecord>): boolean {
  return areTexts(network, ifname, part) && (result === undefined || isResult(result)) &&
    typeof request === "object" && request !== null;
}

function areSteps(value: unknown): value is readonly Step[] {
  return Array.isArray(value) && value.every(isStep);
}

function isNamespace(value: Partial<Namespace> | null | undefined): value is Namespace {
  if (!areTexts(value?.netns, value?.identity) || !areTexts(value?.userns ?? "")) return false;
  const init = value?.init;
  return init === undefined || (Number.isInteger(init?.pid) && areTexts(init?.startTime));
}

function isAttached(value: Partial<Attached> | null): boolean {
  const { network, ifname, args, digest, networkDigest, by, path, result } = value ?? {};
  return areTexts(network?.name, ifname, args, digest, networkDigest, by) &&
    Array.isArray(network?.plugins) &&
    network.plugins.every((plugin) => areTexts(plugin?.type)) && (path === undefined || areTexts(...path)) &&
    (result === undefined || isResult(result));
}

function isMapping(value: Partial<PortMapping> | null): boolean {
  const { hostPort, port, protocol, count = 1 } = value ?? {};
  return [hostPort, port, count].every(Number.isInteger) && areTexts(protocol);
}

function isResult(value: Partial<Result>): boolean {
  const { interfaces, ips, routes, dns } = value ?? {};
  if (![interfaces, ips, routes].every(Array.isArray) || !dns) return false;
  try {
    return parseResult(value, "1.1.0") !== undefined;
  } catch {
    return false;
  }
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === "string");
}
