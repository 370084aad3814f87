/** What tools say of a failure that has one cause, and what to say instead. */
const known: readonly (readonly [pattern: RegExp, told: (step: string) => string | undefined])[] = [
  [/Unknown device type/, (step) => {
    const type = / type ([a-z0-9]+)/.exec(step)?.[1] ?? "that is wanted";
    return `Cannot make a link of type ${type}: the kernel that runs has no such links; ` +
      "ocinet doctor says which module or option it takes";
  }],
  [
    /\/dev\/net\/tun"?\)?: Permission denied/,
    () =>
      "Cannot connect the container: /dev/net/tun can be opened by root only; as root: chmod 666 /dev/net/tun",
  ],
  [
    /\/dev\/net\/tun"?\)?: No such (file|device)/,
    () =>
      "Cannot connect the container: there is no /dev/net/tun; as root: modprobe tun (ocinet doctor says more)",
  ],
  [
    /nsenter: failed to execute (\S+): No such file/,
    () => "Cannot set the container up: a program is missing; ocinet doctor says which",
  ],
  [/: File exists/, (step) => {
    const name = /peer name (\S+)|netns \S+ name (\S+)|container: ip link set dev \S+ name (\S+)/.exec(
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
 * What a person is told instead of a tool's own words, where doctor has a remedy; undefined where it has none.
 * @param step what was done, as it is shown
 * @param said what the tool said
 */
export function toolProblem(step: string, said: string): string | undefined {
  return known.find(([pattern]) => pattern.test(said))?.[1](step);
}
