import type { Step } from "../../plan/step.ts";
import type { World } from "../../plan/world.ts";
import type { Member } from "../../wire/dns/member.ts";
import type { NetworkList } from "../../wire/cni/network_list.ts";

/** One way in which the containers of a network know each other by name. */
export interface NameDriver {
  /** What `--opt names=` calls it. */
  readonly name: "hosts" | "dns";
  /** Why a network cannot have it, with what to do, or undefined when it can. */
  refusal(network: Pick<NetworkList, "plugins">): string | undefined;
  /** The text of a member's file. */
  fileText(member: Member): string;
  /** What a member needs beside its file. */
  steps(world: World, state: string, member: Member): readonly Step[];
  /** Tells who is on the network now. @throws Error when members cannot be told */
  refresh(world: World, state: string, change: NetworkChange): Promise<void>;
}

/** Who is on a network, and who has left it. */
export interface NetworkChange {
  readonly network: string;
  /** The texts of the members' files by container; those of other drivers are none. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly leavers: readonly string[];
}
