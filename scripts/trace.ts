/**
 * Names the sources' lines in stack traces of dist/ocinet, which OCINET_DEBUG=1 has it print.
 * usage: OCINET_DEBUG=1 dist/ocinet … 2>&1 | deno run -A scripts/trace.ts
 */
import { mapTrace, readMap } from "./source_map.ts";

const mapping = readMap(Deno.readTextFileSync(new URL("../dist/ocinet.map", import.meta.url)));
console.log(mapTrace(mapping, (await new Response(Deno.stdin.readable).text()).trimEnd()));
