/** Messages of tools with one known cause, and what to tell the user instead. */
const known:
  readonly (readonly [pattern: RegExp, told: (step: string, said: string) => string | undefined])[] = [
    [/Unknown device type/, (step) => {
      const type = / type ([a-z0-9]+)/.exec(step)?.[1] ?? "that is wanted";
      return `Cannot make a link of type ${type}: the kernel that runs has no such links; ` +
        "ocinet doctor says which module or option it takes";
    }],
    [/\/dev\/net\/tun"?\)?: (Permission denied|No such (file|device))/, (_, said) => {
      const why = said.includes("Permission")
        ? "/dev/net/tun can be opened by root only; as root: chmod 666 /dev/net/tun"
        : "there is no /dev/net/tun; as root: modprobe tun (ocinet doctor says more)";
      return `Cannot connect the container: ${why}`;
    }],
    [
      /nsenter: failed to execute (\S+): No such file/,
      () => "Cannot set the container up: a program is missing; ocinet doctor says which",
    ],
    [/VLAN device already exists/, (step) => {
      const [, link, id] = / link (\S+) name .* type vlan id (\d+)/.exec(step) ?? [];
      return link && `Cannot make VLAN ${id} of ${link}: another link has it already; choose another vlanId`;
    }],
    [/argument "[^"]+" is wrong: Device does not exist/, (step) => {
      const [, place, link] = /"(container: )?ip link set dev \S+ master (\S+)"$/.exec(step) ?? [];
      return link &&
        `Cannot make the link a port of ${link}: there is no such link${
          place ? " in the container" : ""
        }; make it first`;
    }],
    [/Exchange full/, (step) => {
      const bridge = / master (\S+)/.exec(step)?.[1];
      return bridge &&
        `Cannot connect to ${bridge}: it has 1023 ports, and a bridge cannot have more; use another bridge`;
    }],
    [/Cannot find device "/, (step) => {
      const link = / link (\S+) name .* type (?:mac|ip)vlan/.exec(step)?.[1];
      const place = step.includes("container: ") ? " in the container" : "";
      if (link) return `Cannot make a link on ${link}: there is no such link${place}; name another master`;
      const own = place && / dev (\S+)/.exec(step)?.[1];
      return own
        ? `${step}: the container has no ${own}; if it was renamed there, rename it back`
        : undefined;
    }],
    [/: Invalid argument/, (step) => {
      const link = /ip address replace \S*:\S* dev (\S+)/.exec(step)?.[1];
      return link &&
        `${step}: Invalid argument: IPv6 does not work on a link with an MTU below 1280, as ${link} may have; ` +
          "give the network a greater mtu, or no IPv6 subnet";
    }],
    [/mtu (less|greater) than|: Invalid argument/, (step) => {
      const mtu = /ip link .* mtu (\d+)/.exec(step)?.[1];
      return mtu && (Number(mtu) < 68 || Number(mtu) > 65000)
        ? `Cannot use mtu ${mtu}: the link cannot have it; usual is 1500, and the least for IPv6 1280`
        : undefined;
    }],
    [/invalid gateway|No route to host|unreachable|is expected rather than/, (step) => {
      const [, dst, via] = /ip route \S+ (\S+) via (\S+)/.exec(step) ?? [];
      return via &&
        `Cannot make the route to ${dst}: its gateway ${via} is in no subnet of the interface; choose another`;
    }],
    [/netns is immutable/, (step) => {
      const link = / dev (\S+) netns /.exec(step)?.[1];
      return link && `Cannot move ${link}: the kernel keeps it where it is; name another device`;
    }],
    [/Cannot assign|ipv6: Invalid address|Operation not supported/, (step) => {
      const address = / address (?:replace |add )?(\S+)/.exec(step)?.[1]?.replace(/"$/, "");
      return address &&
        `Cannot use address ${address}: the interface cannot have it; choose another, or none`;
    }],
    [/: (Invalid argument|Device or resource busy)/, (step) => {
      const [, link, type] = / link (\S+) name .* type (macvlan|ipvlan)/.exec(step) ?? [];
      return link &&
        `Cannot make a link of type ${type} on ${link}: the kernel refuses it, as beside a macvlan in mode passthru, ` +
          `an ipvlan, or a bridge that has ${link}; take that off, or use another parent`;
    }],
    [
      /IPv6 is disabled/,
      (step) => `${step}: IPv6 is off; sysctl -w net.ipv6.conf.all.disable_ipv6=0, or use no IPv6 subnet`,
    ],
    [/: File exists/, (step) => {
      const name =
        /peer name (\S+)|netns \S+ name (\S+)|container: ip link (?:set dev|add link) \S+ name (\S+)/
          .exec(
            step,
          )
          ?.slice(1).find((one) => one !== undefined)?.replace(/"$/, "");
      return name &&
        `${step}: File exists: the container has an interface ${name} already, or one of a name that is needed for a moment; ` +
          "where an engine connects containers itself (CRI-O, podman --network NAME), let it call ocinet by CNI: " +
          "ocinet install-plugins; where it is ours, of state that was lost, ocinet down ID takes it away";
    }],
  ];

/**
 * The text for the user in place of a tool's message; undefined if doctor has no remedy for it.
 * @param step the failed step as it is shown
 * @param said the tool's message
 */
export function toolProblem(step: string, said: string): string | undefined {
  return known.flatMap(([pattern, told]) => pattern.test(said) ? told(step, said) ?? [] : [])[0];
}
