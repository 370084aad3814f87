import { UsageError } from "../wire/oci/options.ts";
import type { World } from "../plan/world.ts";
import { stateDirectory } from "../engine/state.ts";
import { drawHtml } from "../features/map/html.ts";
import type { NetworkMap } from "../features/map/model.ts";
import { drawSvg } from "../features/map/svg.ts";
import { drawText } from "../features/map/text.ts";
import { currentMap } from "../features/page/look.ts";
import { noteOfRoot } from "./list.ts";
import type { Report } from "./report.ts";

export const mapFlags = {
  all: "also the networks that no container is on",
  svg: "print an SVG image",
  html: "print an HTML page",
};

/** Standard output: its columns of text, and whether it is a terminal. */
export interface Screen {
  readonly columns: number;
  readonly isTerminal: boolean;
}

/** Draws this host's networks, containers, ports and ways to the world, from what is written down of them. */
export async function map(world: World, flags: ReadonlySet<string>, screen: Screen): Promise<Report> {
  const forms = ["json", "svg", "html"].filter((name) => flags.has(name));
  if (forms.length > 1) {
    throw new UsageError(`Cannot print --${forms.join(" and --")} at once: give one of them`);
  }
  const json = await currentMap(world, stateDirectory(world), flags.has("all"));
  return { json, text: draw(world, json, forms[0], screen), ...noteOfRoot(world, json.containers, "map") };
}

function draw(world: World, map: NetworkMap, form: string | undefined, screen: Screen): string {
  if (form === "json") return "";
  if (form === "svg") return drawSvg(map);
  if (form === "html") return drawHtml(map);
  const isSet = (name: string) => (world.env(name) ?? "") !== "";
  const columns = Number(world.env("COLUMNS"));
  return drawText(map, {
    width: !screen.isTerminal && Number.isInteger(columns) && columns > 0 ? columns : screen.columns,
    color: screen.isTerminal && !isSet("NO_COLOR") && world.env("TERM") !== "dumb",
    unicode: isUtf8(world),
  });
}

/** By the variables of a locale, of which the first that is set counts (POSIX). */
function isUtf8(world: World): boolean {
  const names = ["LC_ALL", "LC_CTYPE", "LANG"].map((name) => world.env(name) ?? "");
  return /utf-?8/i.test(names.find((name) => name !== "") ?? "");
}
