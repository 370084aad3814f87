/** See `World.canListen`. */
export function canListen(hostname: string, port: number): Promise<boolean> {
  try {
    Deno.listen({ hostname, port }).close();
    return Promise.resolve(true);
  } catch (error) {
    return Promise.resolve(!(error instanceof Deno.errors.AddrInUse));
  }
}
