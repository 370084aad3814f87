import type { Attachment } from "../../plan/attachment.ts";
import { setLink } from "../../plan/ip.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Sight } from "../plugin.ts";

/** Every namespace has its own from the start. */
export const keepsLink = true;

/** There is nothing to configure. */
export function parse(): Record<never, never> {
  return {};
}

/** Nothing of the host matters. */
export function sight(): Sight {
  return {};
}

/** Sets the container's loopback link up, which gives it its addresses; the name asked for is not looked at. */
export function link(_conf: unknown, at: Attachment): Plan {
  return {
    steps: [{ ...setLink("container", "lo", "up"), undo: "link set dev lo down" }],
    result: {
      interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: at.netns }],
      ips: [{ address: "127.0.0.1/8", interface: 0 }, { address: "::1/128", interface: 0 }],
      routes: [],
      dns: {},
    },
  };
}

/** A loopback link takes no lease. */
export function address(_conf: unknown, _at: Attachment, _lease: unknown, made: Plan["result"]): Plan {
  return { steps: [], result: made };
}
