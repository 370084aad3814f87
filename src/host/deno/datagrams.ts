import type { Datagrams, Hear, Remote } from "../resolver/datagrams.ts";

/** The longest datagram there is. */
const longest = 65_535;

/** Opens a socket for datagrams through Deno's own API, which asks for --unstable-net. */
export async function openDatagrams({ address, port }: Remote, hear: Hear): Promise<Datagrams> {
  const socket = await Promise.resolve(Deno.listenDatagram({ transport: "udp", hostname: address, port }));
  void hearAll(socket, hear);
  return {
    send: (datagram, to) => {
      socket.send(datagram, { transport: "udp", hostname: to.address, port: to.port }).catch(() => {});
    },
    close: () => socket.close(),
  };
}

/**
 * Whether a link is in our network namespace. Who may not read /proc sees that an address that names a link cannot be
 * looked up if that is not there; another fault is that of binding it.
 */
export function linkExists(name: string): boolean {
  try {
    Deno.listenDatagram({ transport: "udp", hostname: `fe80::1%${name}`, port: 0 }).close();
    return true;
  } catch (error) {
    return !/address information/.test(String(error));
  }
}

async function hearAll(socket: Deno.DatagramConn, hear: Hear): Promise<void> {
  const buffer = new Uint8Array(longest);
  while (true) {
    try {
      const [datagram, from] = await socket.receive(buffer);
      const { hostname, port } = from as Deno.NetAddr;
      hear(datagram.slice(), { address: hostname, port });
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
      // One that is told of an earlier datagram's way must not end us, nor keep us busy.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}
