import { type Destination, parseEgress } from "../../net/egress.ts";
import type { Limits } from "../../net/limits.ts";
import { macFrom } from "../../net/names.ts";
import { parseRate } from "../../net/rate.ts";
import type { OptionValues } from "../../wire/oci/options.ts";
import { allowOnly, type Resolved } from "../../plan/egress.ts";
import type { Step } from "../../plan/step.ts";
import { addIfb, type Limit, redirect, shape } from "../../plan/tc.ts";
import type { World } from "../../plan/world.ts";

/** Reads the options. @throws Error naming the option, the value and the reason */
export function parseLimits(given: OptionValues): Limits {
  const egress = given.get("egress");
  const [rateIn, rateOut] = ["rate-in", "rate-out"].map((name) => {
    const value = given.get(name)?.at(-1);
    return value === undefined ? undefined : parseRate(`--${name}`, value);
  });
  return {
    ...(egress ? { egress: parseEgress(egress) } : {}),
    ...(rateIn === undefined ? {} : { rateIn }),
    ...(rateOut === undefined ? {} : { rateOut }),
  };
}

/** Addresses by name. */
export type Names = ReadonlyMap<string, readonly string[]>;

/** Asks the host's resolver for the names among the destinations. @throws Error naming one that has no address */
export async function resolveNames(world: World, { egress = [] }: Limits): Promise<Names> {
  const names = [...new Set(egress.flatMap(({ name }) => name ?? []))];
  return new Map(
    await Promise.all(names.map(async (name) => [name, await resolve(world, name)] as const)),
  );
}

async function resolve(world: World, name: string): Promise<readonly string[]> {
  const { stdout } = await world.run(["getent", "ahosts", name], { looks: true });
  const addresses = stdout.split("\n").map((line) => line.split(/\s/)[0]!).filter((word) => word !== "");
  if (addresses.length > 0) return [...new Set(addresses)];
  throw new Error(
    `Cannot let the container go to "${name}": the host finds no address for it (getent ahosts ${name})`,
  );
}

/** Rules for the container, and buckets at each of its interfaces. */
export function planLimits(
  { egress, rateIn, rateOut }: Limits,
  names: Names,
  interfaces: readonly { readonly ifname: string; readonly digest: string }[],
): readonly Step[] {
  return [
    ...(egress ? [allowOnly(egress.flatMap((destination) => resolved(destination, names)))] : []),
    ...interfaces.flatMap(({ ifname, digest }) => [
      ...(rateIn === undefined ? [] : shapeArriving(ifname, digest, bucket(rateIn))),
      ...(rateOut === undefined ? [] : [shape("container", ifname, bucket(rateOut))]),
    ]),
  ];
}

function resolved({ name, ...rest }: Destination, names: Names): readonly Resolved[] {
  if (name === undefined) return [rest];
  return names.get(name)!.map((address) => ({ ...rest, prefix: address }));
}

function shapeArriving(ifname: string, digest: string, limit: Limit): readonly Step[] {
  const ifb = { name: `ifb-${ifname}`, mac: macFrom(digest.slice(0, 74)) };
  return [
    addIfb("container", ifb),
    ...redirect("container", ifname, ifb.name),
    shape("container", ifb.name, limit),
  ];
}

/** 20 ms at once, and never less than two of the largest packets there are. */
function bucket(bits: number): Limit {
  const rate = Math.floor(bits / 8);
  return { rate, burst: Math.max(Math.floor(rate / 50), 2 * 65536) };
}
