import type { World } from "../../plan/world.ts";

/** What the parts of the plugin have in common. */
export interface DockerPlugin {
  readonly world: World;
  /** The state directory: endpoints, which a reboot takes. */
  readonly state: string;
  /** Where networks and addresses are, which Docker never tells again. */
  readonly data: string;
}
