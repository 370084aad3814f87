import type { World } from "../../plan/world.ts";

/** The directories and World shared by all parts of the plugin. */
export interface DockerPlugin {
  readonly world: World;
  /** The state directory, which has the endpoints. It is emptied by a reboot. */
  readonly state: string;
  /** The directory of networks and addresses, which must persist: Docker never reports them again. */
  readonly data: string;
}
