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
