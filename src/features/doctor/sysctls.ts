import { findProgram } from "../../plan/programs.ts";
import type { World } from "../../plan/world.ts";
import { asRoot, type Check, type Finding, type Kind, kindOf, lack, ok, warn } from "./finding.ts";

interface Setting {
  readonly key: string;
  judge(world: World, value: string, name: string): readonly Finding[];
}

const rows: readonly Setting[] = [
  {
    key: "net.ipv4.ip_forward",
    judge: (world, value, name) =>
      kindOf(world) === "rootless"
        ? []
        : ok(name, value === "1" ? "1" : `${value}; ocinet turns it on for the first container`),
  },
  {
    key: "user.max_user_namespaces",
    judge: notZero({ needs: "rootless", value: "15000", meaning: "no user may have user namespaces" }),
  },
  // Only these of the container's sysctls are ours. The runtime and config.json decide on the others.
  {
    key: "user.max_net_namespaces",
    judge: notZero({ needs: "both", value: "15000", meaning: "no user may have network namespaces" }),
  },
  {
    key: "user.max_mnt_namespaces",
    judge: notZero({ needs: "both", value: "15000", meaning: "no user may have mounts of their own" }),
  },
  // This sysctl exists in Debian's kernels up to version 10, and in some others.
  {
    key: "kernel.unprivileged_userns_clone",
    judge: notZero({ needs: "rootless", value: "1", meaning: "only root may have user namespaces" }),
  },
  { key: "kernel.apparmor_restrict_unprivileged_userns", judge: judgeAppArmor },
  {
    key: "net.ipv4.ip_unprivileged_port_start",
    judge: judgeLowestPort,
  },
  { key: "net.ipv4.ping_group_range", judge: judgePing },
  {
    key: "net.bridge.bridge-nf-call-iptables",
    judge: (world, value, name) =>
      kindOf(world) === "rootless" ? [] : ok(
        name,
        value === "1" ? "1; what containers on one bridge send each other passes iptables' rules too" : value,
      ),
  },
];

/** Checks sysctls. Those that this kernel lacks are skipped. */
export const sysctlChecks: readonly Check[] = rows.map(({ key, judge }) => {
  const name = `sysctl ${key}`;
  const path = `/proc/sys/${key.replaceAll(".", "/")}`;
  return {
    name,
    look: (world) => {
      const value = world.read(path)?.trim();
      return value === undefined ? [] : judge(world, value, name);
    },
  };
});

/** The command that sets a sysctl. Debian's sysctl is in procps, which may not be installed. */
function set(world: World, name: string, value: string): string {
  const key = name.split(" ")[1]!;
  const word = value.includes(" ") ? `"${value}"` : value;
  const command = findProgram(world, "sysctl")
    ? `sysctl -w ${key}=${word}`
    : `echo ${word} >/proc/sys/${key.replaceAll(".", "/")}`;
  return `${asRoot(world, command)}; to keep it: echo "${key} = ${value}" >>/etc/sysctl.d/ocinet.conf`;
}

function notZero(
  { needs, value, meaning }: {
    readonly needs: Kind | "both";
    readonly value: string;
    readonly meaning: string;
  },
): Setting["judge"] {
  return (world, now, name) =>
    now !== "0"
      ? ok(name, now)
      : lack(world, needs, { name, found: `0; ${meaning}`, remedy: set(world, name, value) });
}

/**
 * The kernel's default is 1024. A lower value was set on purpose. A higher one was rarely set with containers in mind.
 */
function judgeLowestPort(world: World, value: string, name: string): readonly Finding[] {
  if (kindOf(world) === "root") return [];
  return Number(value) <= 1024
    ? ok(name, `${value}; ports from there on can be published`)
    : warn(name, `${value}; ports below that cannot be published`, set(world, name, "1024"));
}

/** Ubuntu since 23.10: a program without an AppArmor profile gets no capabilities in its user namespaces. */
function judgeAppArmor(world: World, value: string, name: string): readonly Finding[] {
  if (value === "0") return ok(name, "0");
  const bare = ["runc", "slirp4netns"].filter((program) => !world.stat(`/etc/apparmor.d/${program}`));
  if (bare.length === 0) return ok(name, `${value}; runc and slirp4netns have profiles`);
  return warn(
    name,
    `${value}; ${bare.join(" and ")} ${
      bare.length > 1 ? "have" : "has"
    } no AppArmor profile, and no power in ` +
      "the namespaces of rootless containers",
    set(world, name, "0"),
  );
}

function judgePing(world: World, value: string, name: string): readonly Finding[] {
  if (kindOf(world) === "root") return [];
  const [from = 1, to = 0] = value.split(/\s+/).map(Number);
  const status = world.read("/proc/self/status") ?? "";
  const groups = [...status.matchAll(/^G(?:id|roups):(.*)$/gm)].flatMap(([, list]) =>
    list!.trim().split(/\s+/).filter((word) => word !== "").map(Number)
  );
  if (groups.some((group) => from <= group && group <= to)) return ok(name, value.replace(/\s+/, " "));
  return warn(
    name,
    `${value.replace(/\s+/, " ")}; no group of yours is in it, so no ping gets out of rootless containers`,
    set(world, name, "0 2147483647"),
  );
}
