import { CniError } from "../../wire/cni/error.ts";
import type { Fields } from "../../wire/cni/fields.ts";
import type { Attachment } from "../../plan/attachment.ts";

/** Option codes by the names of ISC's dhclient. The reference plugin knows the first six. */
const names: Readonly<Record<string, number>> = Object.assign(Object.create(null) as Record<string, number>, {
  "dhcp-client-identifier": 61,
  "subnet-mask": 1,
  "routers": 3,
  "host-name": 12,
  "user-class": 77,
  "vendor-class-identifier": 60,
  "domain-name-servers": 6,
  "domain-name": 15,
  "domain-search": 119,
  "static-routes": 33,
  "rfc3442-classless-static-routes": 121,
});

/** Subnet mask, routers, name servers, domain: requested by default. */
const usual = [1, 3, 6, 15] as const;

/**
 * Options that only the client itself can set: requested address, overload, message type, server, parameter list,
 * message size.
 */
const reserved = [50, 52, 53, 54, 55, 57];

/** An option to send: a value from the configuration, or a key of CNI_ARGS, which has precedence. */
export interface Provided {
  readonly code: number;
  readonly value?: string;
  readonly fromArg?: string;
}

/** Reads `request`: the options to request. The usual ones are included, unless an entry has `skipDefault`. */
export function parseRequest(entries: readonly Fields[]): readonly number[] {
  const skipped = entries.some((entry) => entry.boolean("skipDefault") === true);
  const own = entries.flatMap((entry) => entry.has("option") || !skipped ? [parseOption(entry)] : []);
  return [...new Set([...(skipped ? [] : usual), ...own])];
}

/** Reads `provide`. */
export function parseProvide(entries: readonly Fields[]): readonly Provided[] {
  return entries.map((entry) => {
    const code = parseOption(entry);
    if (reserved.includes(code)) {
      throw new CniError("invalidConfig", `Cannot provide DHCP option ${code}: the client itself says that`);
    }
    return { code, value: entry.string("value"), fromArg: entry.string("fromArg") };
  });
}

function parseOption(entry: Fields): number {
  const option = entry.string("option") ?? "";
  const code = names[option] ?? (/^[1-9][0-9]{0,2}$/.test(option) ? Number(option) : NaN);
  // 0 is padding, 255 the end mark.
  if (code < 255) return code;
  throw new CniError(
    "invalidConfig",
    `Cannot use DHCP option ${JSON.stringify(option)}: it is neither a number from 1 to 254 nor one of ${
      Object.keys(names).join(", ")
    }`,
  );
}

/** The bytes to send for each option, in hexadecimal. Options without a value are left out. */
export function valuesOf(
  provided: readonly Provided[],
  args: ReadonlyMap<string, string>,
): ReadonlyMap<number, string> {
  return new Map(provided.flatMap(({ code, value, fromArg }) => {
    const chosen = (fromArg === undefined ? undefined : args.get(fromArg)) ?? value;
    return chosen ? [[code, bytesOf(code, chosen)] as const] : [];
  }));
}

/** The length of an option is one byte (RFC 2132, section 2). */
function bytesOf(code: number, value: string): string {
  const bytes = new TextEncoder().encode(value);
  if (bytes.length <= 255) return hexOf(bytes);
  throw new CniError(
    "invalidConfig",
    `Cannot provide DHCP option ${code}: its value is ${bytes.length} bytes long, and 255 is the most`,
  );
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The client id of an attachment. It is the reference plugin's, so a server gives the same address. */
export const clientId = {
  code: 61,
  of: ({ containerId, network, ifname }: Attachment): string =>
    `00${hexOf(new TextEncoder().encode(`${containerId}/${network}/${ifname}`).slice(0, 254))}`,
};
