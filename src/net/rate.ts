const units: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/**
 * Reads a rate in tc's words: `500kbit`, `10mbit`, `1.5gbit`.
 * @returns bits a second
 * @throws Error naming the option, the value and the reason
 */
export function parseRate(option: string, text: string): number {
  const [, number, unit] = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)(bit|kbit|mbit|gbit)$/.exec(text) ?? [];
  const bits = Math.floor(Number(number) * (units[unit ?? ""] ?? NaN));
  // tc holds rates as 64-bit numbers of bytes, but bucket sizes as smaller ones.
  if (bits >= 8 && bits <= 100e9) return bits;
  throw new Error(
    `Cannot read ${option} ${
      JSON.stringify(text)
    }: it is not a rate from 8bit to 100gbit, such as 500kbit or 10mbit`,
  );
}
