/**
 * The parts of dist/ocinet that are evaluated only when one of their functions is called, by the modules that the others
 * leave out. What only these modules import comes with them; what a part before has as well they take from it. The eager
 * part may import nothing of them but functions and literals. When a lazily loaded part imports something else of
 * another, both are evaluated together.
 */
export const parts: Readonly<Record<string, readonly string[]>> = {
  udhcpc: ["src/plan/udhcpc.ts"],
  drivers: [
    "src/drivers/ipam/dhcp.ts",
    "src/drivers/ipam/docker_ipam.ts",
    "src/drivers/ipam/static.ts",
    "src/drivers/main/docker_network.ts",
    "src/drivers/main/dummy.ts",
    "src/drivers/main/host_device.ts",
    "src/drivers/main/ipvlan.ts",
    "src/drivers/main/macvlan.ts",
    "src/drivers/main/tap.ts",
    "src/drivers/main/vlan.ts",
    "src/drivers/meta/bandwidth.ts",
    "src/drivers/meta/flannel.ts",
    "src/drivers/meta/port_conditions.ts",
    "src/drivers/meta/sbr.ts",
    "src/drivers/meta/vrf.ts",
    "src/engine/plugin_calls.ts",
    "src/features/cni_plugin/later_mac.ts",
    "src/features/cni_plugin/remote.ts",
    "src/plan/docker_plugins.ts",
  ],
  rootless: [
    "src/drivers/uplinks/options.ts",
    "src/drivers/uplinks/relay.ts",
    "src/drivers/uplinks/table.ts",
    "src/features/rootless/relay.ts",
    "src/features/rootless/rootless.ts",
    "src/features/rootless/uplink.ts",
  ],
  tuning: ["src/drivers/meta/tuning.ts", "src/features/container/wanted_args.ts"],
  complaints: [
    "src/engine/tool_problem.ts",
    "src/net/file_problem.ts",
    "src/net/json_problem.ts",
    "src/wire/cni/system_error.ts",
  ],
  recover: ["src/features/container/recover.ts"],
  repair: [
    "src/features/container/names_again.ts",
    "src/features/container/repair_links.ts",
    "src/features/container/restore_rules.ts",
  ],
  leftovers: ["src/engine/old_records.ts", "src/features/cni_plugin/reference_leftovers.ts"],
  check: ["src/drivers/ipam/host_local_check.ts", "src/features/cni_plugin/check.ts"],
  cni: ["src/commands/cni.ts", "src/features/cni_runtime/cache.ts", "src/features/cni_runtime/runtime.ts"],
  sockets: ["src/host/deno/listen.ts", "src/host/deno/sockets.ts", "src/host/node/sockets.ts"],
  run: ["src/commands/run.ts", "src/commands/supervise.ts"],
  names: [
    "src/features/container/asked_resolvers.ts",
    "src/features/networks/names.ts",
    "src/features/networks/services.ts",
  ],
  egress: ["src/net/egress.ts", "src/plan/egress.ts"],
  network: ["src/features/container/network_change.ts"],
  relay: ["src/host/relay/relay.ts"],
  resolver: ["src/host/deno/datagrams.ts", "src/host/resolver/resolver.ts"],
  overlay: ["src/drivers/ipam/cluster.ts", "src/drivers/main/overlay.ts", "src/wire/overlay/requests.ts"],
  calls: ["src/commands/worker.ts"],
  people: ["src/commands/program.ts"],
  networks: [
    "src/features/container/live_networks.ts",
    "src/features/networks/create.ts",
    "src/features/networks/describe.ts",
    "src/features/networks/filters.ts",
    "src/features/networks/mistakes.ts",
    "src/features/networks/remove.ts",
    "src/features/networks/template.ts",
  ],
  ports: ["src/features/container/live_ports.ts"],
  doctor: ["src/features/doctor/doctor.ts"],
  map: [
    "src/features/map/html.ts",
    "src/features/map/model.ts",
    "src/features/map/svg.ts",
    "src/features/map/text.ts",
  ],
  helper: ["src/features/helper/service.ts"],
  completion: ["src/commands/completion.ts"],
  agent: [
    "src/features/overlay/agent.ts",
    "src/features/overlay/cluster.ts",
    "src/features/overlay/networks.ts",
    "src/host/http.ts",
  ],
  netavark: [
    "src/features/netavark_plugin/attach.ts",
    "src/features/netavark_plugin/create.ts",
    "src/wire/netavark/network.ts",
  ],
  docker: ["src/features/docker_plugin/serve.ts"],
  trace: ["src/features/trace/trace.ts"],
};

/** The part that is evaluated at every start. */
export const eager = "eager";
