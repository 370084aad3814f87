/**
 * package_files.ts DIRECTORY: writes what the Debian package has besides ocinet itself that calls /usr/bin/ocinet: systemd's
 * services, and a directory of CNI plugins. Sockets are not among the units: only Node takes them from systemd, and the
 * package may run on Deno.
 */
import process from "node:process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { newFake } from "../src/host/fake.ts";
import type { World } from "../src/plan/world.ts";
import { agentUnit } from "../src/commands/agent_unit.ts";
import { dockerPlugin } from "../src/commands/docker_plugin.ts";
import { helper } from "../src/commands/helper.ts";
import { installPlugins } from "../src/commands/install_plugins.ts";

const plugins = "/usr/lib/ocinet/cni";

/** Files by their paths, as root's /usr/bin/ocinet writes them on any machine. */
async function packageFiles(): Promise<Readonly<Record<string, string>>> {
  const world: World = { ...newFake().world, self: ["/usr/bin/ocinet"] };
  const services = [
    agentUnit(world, "", new Map()),
    await helper(world, { units: "" }),
    await dockerPlugin(world, new Map([["units", [""]]])),
  ].flatMap(({ json }) => Object.entries(json as Readonly<Record<string, string>>))
    .filter(([name]) => name.endsWith(".service"));
  await installPlugins(world, plugins, false);
  return Object.fromEntries([
    ...services.map(([name, text]) => [`/usr/lib/systemd/system/${name}`, text]),
    ...world.list(plugins).map((name) => [`${plugins}/${name}`, world.read(`${plugins}/${name}`)!]),
  ]);
}

if (import.meta.main) {
  const [directory] = process.argv.slice(2);
  for (const [path, text] of Object.entries(await packageFiles())) {
    mkdirSync(dirname(`${directory}${path}`), { recursive: true });
    writeFileSync(`${directory}${path}`, text, { mode: path.startsWith(plugins) ? 0o755 : 0o644 });
  }
}
