import type { World } from "../plan/world.ts";
import { examine, type Finding } from "../features/doctor/doctor.ts";
import { isRoot } from "../engine/user.ts";
import type { Report } from "./report.ts";

/** Says of everything this machine has to have whether it does, and what to do where it does not. */
export async function doctor(world: World): Promise<Report> {
  return reportOf(await examine(world), isRoot(world) ? "root's" : "your rootless");
}

/** The findings as a person reads them, and a status that is not 0 when something is missing. */
export function reportOf(findings: readonly Finding[], whose: string): Report {
  const [fine, warnings, missing] = (["ok", "warning", "missing"] as const).map((wanted) =>
    findings.filter(({ status }) => status === wanted)
  );
  return {
    json: findings,
    // What is wrong comes last, where a terminal still shows it.
    text: findingsText([...fine!, ...warnings!, ...missing!]) +
      summary(missing!.length, warnings!.length, whose),
    code: missing!.length > 0 ? 1 : 0,
  };
}

const labels = { ok: "ok", warning: "warn", missing: "MISSING" } as const;

function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings.map(({ name, status, found, remedy }) => {
    const line = `${labels[status].padEnd(7)}  ${name.padEnd(width)}  ${found}\n`;
    return remedy === undefined ? line : `${line}         -> ${remedy}\n`;
  }).join("");
}

function summary(missing: number, warnings: number, whose: string): string {
  const said = missing === 0
    ? "Nothing is missing"
    : `${missing} ${missing === 1 ? "thing is" : "things are"} missing`;
  const more = warnings === 0 ? "" : `; ${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
  return `\n${said} for ${whose} containers${more}.\n`;
}
