import type { HttpAnswer, HttpHeard } from "../../plan/http.ts";
import {
  bodyOf,
  joinAnswer,
  parseEndpoint,
  parseName,
  parseNetwork,
  parsePorts,
  readId,
  readIp,
  readSubnet,
} from "../../wire/cnm/network_driver.ts";
import { done, failed } from "../../wire/cnm/protocol.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import { explain } from "../../engine/step_error.ts";
import {
  createEndpoint,
  deleteEndpoint,
  findEndpoint,
  needEndpoint,
  note,
  publish,
  sweepEndpoints,
} from "./endpoints.ts";
import { poolId, releaseAddress, releasePool, requestAddress, requestPool, space } from "./ipam.ts";
import { createNetwork, deleteNetwork, needNetwork } from "./networks.ts";
import type { DockerPlugin } from "./plugin.ts";

type Method = (plugin: DockerPlugin, body: Fields) => unknown;

/** The methods that Docker calls, by path. */
const methods: Readonly<Record<string, Method>> = {
  "/Plugin.Activate": () => ({ Implements: ["NetworkDriver", "IpamDriver"] }),
  "/NetworkDriver.GetCapabilities": () => ({ Scope: "local", ConnectivityScope: "local" }),
  "/NetworkDriver.CreateNetwork": async (plugin, body) => {
    await sweepEndpoints(plugin);
    createNetwork(plugin, parseNetwork(body));
  },
  "/NetworkDriver.DeleteNetwork": async (plugin, body) => {
    const id = readId(body, "NetworkID");
    await sweepEndpoints(plugin, id);
    await deleteNetwork(plugin, id);
  },
  "/NetworkDriver.CreateEndpoint": async (plugin, body) => {
    const mac = await createEndpoint(plugin, parseEndpoint(body));
    return { Interface: mac === undefined ? {} : { MacAddress: mac } };
  },
  "/NetworkDriver.EndpointOperInfo": (plugin, body) => {
    const record = findEndpoint(plugin, parseName(body));
    return { Value: record === undefined ? {} : { "ocinet.link": record.request["interim"] } };
  },
  "/NetworkDriver.DeleteEndpoint": (plugin, body) => deleteEndpoint(plugin, parseName(body)),
  "/NetworkDriver.Join": (plugin, body) => {
    const name = parseName(body);
    const network = needNetwork(plugin, name.network);
    return joinAnswer(note(plugin, name, body.string("SandboxKey") ?? ""), network);
  },
  "/NetworkDriver.Leave": async (plugin, body) => {
    const name = parseName(body);
    if (!findEndpoint(plugin, name)) return;
    await publish(plugin, name, []);
    note(plugin, name, undefined);
  },
  "/NetworkDriver.ProgramExternalConnectivity": async (plugin, body) => {
    needEndpoint(plugin, parseName(body));
    await publish(plugin, parseName(body), parsePorts(body));
  },
  "/NetworkDriver.RevokeExternalConnectivity": async (plugin, body) => {
    if (findEndpoint(plugin, parseName(body))) await publish(plugin, parseName(body), []);
  },
  "/NetworkDriver.DiscoverNew": () => undefined,
  "/NetworkDriver.DiscoverDelete": () => undefined,
  "/IpamDriver.GetCapabilities": () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
  "/IpamDriver.GetDefaultAddressSpaces": () => ({
    LocalDefaultAddressSpace: space,
    GlobalDefaultAddressSpace: space,
  }),
  "/IpamDriver.RequestPool": async (plugin, body) => {
    const subnetAt = (key: string) => {
      const text = body.string(key);
      return text === undefined ? undefined : readSubnet(key, text);
    };
    const [subnet, range] = [subnetAt("Pool"), subnetAt("SubPool")];
    const pool = await requestPool(plugin, {
      ...(subnet === undefined ? {} : { subnet }),
      ...(range === undefined ? {} : { range }),
      ipv6: body.boolean("V6") ?? false,
    });
    return { PoolID: poolId(pool), Pool: pool.subnet, Data: {} };
  },
  "/IpamDriver.ReleasePool": (plugin, body) => releasePool(plugin, body.string("PoolID") ?? ""),
  "/IpamDriver.RequestAddress": (plugin, body) => {
    const text = body.string("Address");
    const wanted = text === undefined ? undefined : readIp("Address", text);
    return { Address: requestAddress(plugin, body.string("PoolID") ?? "", wanted), Data: {} };
  },
  "/IpamDriver.ReleaseAddress": (plugin, body) =>
    releaseAddress(plugin, body.string("PoolID") ?? "", readIp("Address", body.string("Address") ?? "")),
};

/** Answers a request of Docker's. */
export async function answer(
  plugin: DockerPlugin,
  { path, body }: Pick<HttpHeard, "path" | "body">,
): Promise<HttpAnswer> {
  const method = Object.hasOwn(methods, path) ? methods[path] : undefined;
  if (!method) {
    return failed(new Error(`Cannot do ${JSON.stringify(path)}: this plugin has no such method`), 404);
  }
  try {
    return done(await method(plugin, bodyOf(body)) ?? {});
  } catch (error) {
    return failed(explain(error));
  }
}
