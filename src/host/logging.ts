import type { World } from "../plan/world.ts";

/** A World that reports every program it runs, with its input and exit status. */
export function loggingWorld(world: World, tell: (line: string) => void): World {
  return {
    ...world,
    run: async (argv, runOptions) => {
      const input = runOptions?.stdin?.trimEnd().split("\n").map((line) => `  < ${line}`) ?? [];
      [`run ${argv.join(" ")}`, ...input].forEach(tell);
      const output = await world.run(argv, runOptions);
      tell(`  = ${output.code} ${output.stderr.trim()}`.trimEnd());
      return output;
    },
    request: async (socket, text, options) => {
      tell(`send ${socket} ${text}`.trimEnd());
      const answer = await world.request(socket, text, options);
      tell(`  = ${answer}`.trimEnd());
      return answer;
    },
  };
}
