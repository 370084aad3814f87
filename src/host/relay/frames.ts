/** A datagram for a stream, preceded by its length in two bytes. */
export function frame(datagram: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(datagram.length + 2);
  bytes.set([datagram.length >> 8, datagram.length & 255]);
  bytes.set(datagram, 2);
  return bytes;
}

/** A reader of a stream: it takes parts as they arrive and reports each complete datagram. */
export function unframe(tell: (datagram: Uint8Array) => void): (part: Uint8Array) => void {
  let rest: Uint8Array = new Uint8Array(0);
  return (part) => {
    let bytes = concat(rest, part);
    for (;;) {
      const end = bytes.length < 2 ? Infinity : 2 + (bytes[0]! << 8) + bytes[1]!;
      if (bytes.length < end) break;
      tell(bytes.subarray(2, end));
      bytes = bytes.subarray(end);
    }
    rest = bytes.slice();
  };
}

/** Concatenates two byte arrays. */
export function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
