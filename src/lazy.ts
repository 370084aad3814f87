/** What only people need; see sleeping.ts. */
export { runCommand } from "./commands/program.ts";
