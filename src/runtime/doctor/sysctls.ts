import type { World } from "../../plan/world.ts";
import { asRoot, type Check, type Finding, kindOf, lack, ok, warn } from "./finding.ts";

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
  { key: "user.max_user_namespaces", judge: wantsUserNamespaces("15000") },
  // Debian's kernels up to 10 and some others have this one.
  { key: "kernel.unprivileged_userns_clone", judge: wantsUserNamespaces("1") },
  { key: "kernel.apparmor_restrict_unprivileged_userns", judge: judgeAppArmor },
  {
    key: "net.ipv4.ip_unprivileged_port_start",
    judge: (world, value, name) =>
      kindOf(world) === "root" ? [] : ok(name, `${value}; ports from there on can be published`),
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

/** What the kernel's settings allow; one that this kernel does not have is passed over. */
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

function set(world: World, name: string, value: string): string {
  const key = name.split(" ")[1];
  const quoted = value.includes(" ") ? `"${value}"` : value;
  return asRoot(world, `sysctl -w ${key}=${quoted}`) +
    "; to keep it, put that into /etc/sysctl.d/ocinet.conf";
}

function wantsUserNamespaces(value: string): Setting["judge"] {
  return (world, now, name) =>
    now !== "0" ? ok(name, now) : lack(world, "rootless", {
      name,
      found: "0; nobody but root may have user namespaces",
      remedy: set(world, name, value),
    });
}

/** Ubuntu since 23.10: a program without a profile gets user namespaces that it has no power in. */
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
    `${value.replace(/\s+/, " ")}; no group of yours is in it, so ping does not work in rootless containers`,
    set(world, name, "0 2147483647"),
  );
}
