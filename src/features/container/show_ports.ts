import type { DescribedPort } from "./describe.ts";

type Shown = Pick<DescribedPort, "mapping" | "hostIp" | "hostPort" | "containerPort" | "protocol">;

/** The mappings as text; consecutive ports are shown as ranges. */
export function joinPorts(ports: readonly Shown[]): readonly string[] {
  const runs: Shown[][] = [];
  for (const port of ports) {
    const last = runs.at(-1);
    if (last && follows(last.at(-1)!, port)) last.push(port);
    else runs.push([port]);
  }
  return runs.map((run) => {
    const [first, last] = [run[0]!, run.at(-1)!];
    if (first === last) return first.mapping;
    const host = first.mapping.slice(0, first.mapping.lastIndexOf(`${first.hostPort}:`));
    const range = (key: "hostPort" | "containerPort") => `${first[key]}-${last[key]}`;
    return `${host}${range("hostPort")}:${range("containerPort")}/${first.protocol}`;
  });
}

function follows(one: Shown, next: Shown): boolean {
  return next.hostIp === one.hostIp && next.protocol === one.protocol &&
    next.hostPort === one.hostPort + 1 && next.containerPort === one.containerPort + 1;
}
