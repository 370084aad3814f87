import { parseAddress } from "../../net/address.ts";
import { readContainer } from "../../engine/record.ts";
import { readUndamagedFile } from "../../plan/files.ts";
import type { World } from "../../plan/world.ts";
import { namesDirectory } from "../networks/names.ts";
import type { Target } from "./seen.ts";

/**
 * What a name leads to on a container's networks: containers of this host, and addresses of those of other hosts.
 * @param name an id, a host name, an alias or a service; also as NAME.NETWORK
 */
export function targetsNamed(world: World, state: string, id: string, name: string): readonly Target[] {
  const networks = (readContainer(world, state, id)?.attachments ?? []).map(({ network }) => network.name);
  const found = networks.flatMap((network) => {
    const wanted = [name, name.endsWith(`.${network}`) ? name.slice(0, -network.length - 1) : name];
    const directory = namesDirectory(state, network);
    return world.list(directory).filter((file) => /^[^. ]+ [^ ]+$/.test(file)).flatMap((file): Target[] => {
      const holder = file.split(" ")[0]!;
      const lines = (readUndamagedFile(world, `${directory}/${file}`) ?? "").split("\n").map((line) =>
        line.split(" ")
      );
      const own = lines.flatMap(([address = "", ...names]) =>
        names.some((one) => wanted.includes(one)) ? parseAddress(address) ?? [] : []
      );
      if (own.length === 0) return [];
      return holder === "~"
        ? own.map((address) => ({ kind: "address", address }))
        : [{ kind: "container", id: holder }];
    });
  });
  return [...new Map(found.map((target) => [JSON.stringify(target), target])).values()];
}
