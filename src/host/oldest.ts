/**
 * Ends the process with one line on a runtime that is too old. It is evaluated before any code that such a runtime
 * cannot run.
 */
const old = "Deno" in globalThis ? parseInt(Deno.version.deno) < 2 : !process.getBuiltinModule;

if (old) {
  const { name, exit } = "Deno" in globalThis
    ? { name: `Deno ${Deno.version.deno}`, exit: Deno.exit }
    : { name: `Node ${process.versions.node}`, exit: process.exit };
  console.error(
    `ocinet: Cannot start on ${name}: it takes deno 2 or later, or node 20.16 or later; install one, and set ` +
      "OCINET_RUNTIME to its path if this one stays on PATH",
  );
  exit(1);
}
