/** Calls of other parts, without the functions that stand for them: these are of use where they are passed on alone. */
import { readMap, type Segment, writeMap } from "./source_map.ts";

/** A minified script, with its source map as JSON. */
interface Script {
  readonly text: string;
  readonly map: string;
}

/** What a minifier makes of a stand-in (bundle.ts) that is called in one place: a function that is called at once. */
const calledAtOnce = /\(\(\.\.\.([\w$]+)\)=>(\$part\("\w+"\)\.\$\w+)\(\.\.\.\1\)\)(?=\()/g;

/** Has them call the other part's function itself. */
export function callDirectly({ text, map }: Script): Script {
  const mapping = readMap(map);
  const lines = text.split("\n").map((line, i) => {
    const cuts: [from: number, to: number][] = [];
    const shorter = line.replace(calledAtOnce, (call, _name, target: string, from: number) => {
      const space = /[\w$]/.test(line[from - 1] ?? "") ? " " : "";
      const at = from + call.indexOf(target);
      cuts.push([from + space.length, at], [at + target.length, from + call.length]);
      return space + target;
    });
    return { text: shorter, segments: without(mapping[i] ?? [], cuts) };
  });
  return {
    text: lines.map(({ text }) => text).join("\n"),
    map: writeMap("", lines.map(({ segments }) => segments)),
  };
}

/** The segments of a line of which some columns are gone. */
function without(
  segments: readonly Segment[],
  cuts: readonly (readonly [from: number, to: number])[],
): readonly Segment[] {
  const gone = (column: number) =>
    cuts.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(column, to) - from), 0);
  return segments.map((segment) => ({ ...segment, column: segment.column - gone(segment.column) }));
}
