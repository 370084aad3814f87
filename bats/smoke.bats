#!/usr/bin/env bats
# The test library itself, and that the program starts wherever and however it is called.
load lib

@test "host and peer see each other" {
  in_host busybox ping -c 1 -W 2 192.0.2.2
  in_peer busybox ping -c 1 -W 2 2001:db8:1::1
  in_host busybox ping -c 1 -W 2 198.51.100.1
  in_host busybox ping -c 1 -W 2 2001:db8:2::1
}

@test "servers answer with the client's address" {
  serve tcp 80 in_host
  serve udp 53 in_host
  [ "$(ask tcp 192.0.2.1 80 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 2001:db8:1::1 80 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask udp 192.0.2.1 53 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 2001:db8:1::1 53 in_peer)" = 2001:db8:1::2 ]
  [ "$(ask tcp ::1 80 in_host)" = ::1 ]
  unanswered tcp 192.0.2.1 81 in_peer
}

@test "a container runs under runc" { container_runs runc; }
@test "a container runs under crun" { container_runs crun; }
@test "a container runs under runc as an ordinary user" { container_runs runc rootless; }
@test "a container runs under crun as an ordinary user" { container_runs crun rootless; }

container_runs() {
  local bundle=$BATS_TEST_TMPDIR/bundle
  make_bundle "$bundle" "$@"
  # An ordinary user's bundle, as the runtimes make it, has the host's network.
  set_config "$bundle" '.linux.namespaces |= (map(select(.type != "network")) + [{type: "network"}])'
  snapshot >"$BATS_TEST_TMPDIR/before"
  set_args "$bundle" sh -c "ip addr show lo; id"
  run -0 run_container foreground "$bundle"
  [[ $output == *"127.0.0.1/8"*"uid=0 gid=0"* ]]

  set_args "$bundle" sleep 1000
  start_container background "$bundle"
  run -0 exec_container background hostname
  [ -e "/proc/$(container_pid background)" ]
  run -0 in_container background ip -br link
  [[ $output == "lo "* && $output != *eth0* ]]
  kill_container background
  delete_container background
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "a snapshot is the same twice and shows what changes" {
  snapshot >"$BATS_TEST_TMPDIR/before"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  in_host ip link add name br0 type bridge
  in_host ip address add 10.1.2.1/24 dev br0
  in_host ip link set br0 up
  in_host ip rule add to 10.9.9.9 table 77
  in_host nft add table inet example
  in_host tc qdisc add dev eth0 clsact
  touch "$STATE_DIR/journal"
  background sleeper in_host sleep 1000
  run -1 changes_since "$BATS_TEST_TMPDIR/before"
  for what in br0 10.1.2.0/24 10.9.9.9 "table inet example" clsact journal "sleep 1000" conf/br0/forwarding; do
    [[ $output == *"$what"* ]] || fail "not seen: $what"
  done
  stop sleeper
  rm "$STATE_DIR/journal"
  in_host bash -c 'ip link delete br0; ip rule delete table 77; nft delete table inet example; tc qdisc delete dev eth0 clsact'
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "what a test leaves behind is noticed" {
  in_host ip link add name left0 type veth peer name left1
  in_host ip netns add left2
  in_host bash -c 'setsid sleep 1001 >/dev/null 2>&1 3>&- &'
  run -0 what_is_left
  [ "${lines[0]}" = "process: sleep 1001" ]
  [[ $output == *"namespace: left2"*"link: left"* ]]
  kill_processes
  in_host ip netns delete left2
  in_host ip link delete left0
}

@test "ocinet starts through a symlink, through PATH, with no environment, from anywhere, even where nothing is any more" {
  local runtime gone=$BATS_TEST_TMPDIR/gone
  ln -s "$OCINET" "$BATS_TEST_TMPDIR/link"
  cd /
  for runtime in deno node; do
    export OCINET_RUNTIME=$runtime
    [ "$(in_host "$BATS_TEST_TMPDIR/link" ls --json)" = "[]" ]
    [ "$(PATH="$PROJECT/dist:$PATH" in_host ocinet ls --json)" = "[]" ]
    [ "$(in_host env -i PATH="$PATH" "$OCINET" ls --json)" = "[]" ]
    mkdir "$gone"
    # shellcheck disable=SC2016 # the inner shell's
    [ "$(in_host sh -c 'cd "$1"; rmdir "$1"; "$2" ls --json' sh "$gone" "$OCINET")" = "[]" ]
  done
  [[ $(in_host env -i "$OCINET" version) == "ocinet "* ]]
}

@test "ocinet starts on Deno and on Node, each without the other" {
  local runtime bin
  for runtime in deno node; do
    bin=$BATS_TEST_TMPDIR/$runtime
    mkdir "$bin"
    ln -s "$(command -v $runtime)" "$bin/$runtime"
    run -0 in_host env -i PATH="$bin" "$OCINET" version --json
    jq -e --arg runtime $runtime '.runtime == $runtime' <<<"$output"
  done
  run -1 in_host env -i PATH=/nowhere OCINET_AGENT=no "$OCINET" ls
  [ "$output" = "ocinet: Cannot start: neither deno (2 or later) nor node (20.16 or later) is on PATH; install one, from deno.com or nodejs.org" ]
  run -1 env OCINET_RUNTIME=nodejs "$OCINET" ls
  [ "$output" = 'ocinet: Cannot start: OCINET_RUNTIME is "nodejs", and not deno, node, or the path of one' ]
  run -1 env OCINET_RUNTIME=/nowhere/node "$OCINET" ls
  [ "$output" = 'ocinet: Cannot start: OCINET_RUNTIME is "/nowhere/node", and there is no such program' ]
}

@test "the oldest Deno and Node that will do attach, publish, take down and collect; older ones say in one line that they will not" {
  in_host ip netns add box
  for OCINET_RUNTIME in "$("$PROJECT/scripts/runtime" deno 2.0.0)" "$("$PROJECT/scripts/runtime" node 20.16.0)"; do
    export OCINET_RUNTIME
    run -0 ocinet up -p 8080:80 /run/netns/box
    run -0 ocinet port add box 8081:81
    [ "$(ocinet ls --json | jq -r '.[0].ports | length')" = 2 ]
    ocinet down box
    run -0 ocinet gc
    [[ $output == *"nft table inet ocinet"* ]]
  done
  in_host ip netns delete box
  OCINET_RUNTIME=$("$PROJECT/scripts/runtime" deno 1.46.3) run -1 ocinet ls
  [[ $output == "ocinet: Cannot start on Deno 1.46.3: it takes deno 2 or later, "* && ${#lines[@]} = 1 ]]
  OCINET_RUNTIME=$("$PROJECT/scripts/runtime" node 18.20.8) run -1 ocinet ls
  [[ $output == "ocinet: Cannot start on Node 18.20.8: it takes deno 2 or later, "* && ${#lines[@]} = 1 ]]
}

@test "root's hooks at their usual types take the eager part of the file; taking down and plugins one part more" {
  local runtime bin=$BATS_TEST_TMPDIR/bin pid state conf
  mkdir "$bin"
  # The other parts are of another build.
  sed -E '/^\/\*ocinet [0-9a-f]+ (undo|plugin) /! s/^\/\*ocinet ./\/*ocinet -/' "$OCINET" >"$bin/ocinet"
  chmod +x "$bin/ocinet"
  for type in bridge portmap; do ln -s ocinet "$bin/$type"; done
  background inside in_host unshare --net sleep 1000
  pid=$(<"$BATS_TEST_TMPDIR/background/inside")
  wait_for test ! "/proc/$pid/ns/net" -ef "/proc/$HOST_PID/ns/net"
  conf=$(jq -nc '{ cniVersion: "1.0.0", name: "net", type: "bridge", isGateway: true, ipMasq: true,
    ipam: { type: "host-local", subnet: "10.1.1.0/24" } }')
  for runtime in deno node; do
    export OCINET_RUNTIME=$runtime
    # On Deno too it is another file.
    run -1 in_host "$bin/ocinet" ls
    [ "$output" = "ocinet: Cannot go on: $bin/ocinet is not the file that was started, but was replaced meanwhile; call it again" ]
    state='{ "id": "c1", "bundle": "/nowhere" }'
    in_host "$bin/ocinet" hook createRuntime --net default -p 8080:80 \
      < <(jq --argjson pid "$pid" '.pid = $pid' <<<"$state")
    [ "$(ocinet ls --json | jq -r '.[0].ports | length')" = 1 ]
    in_host "$bin/ocinet" hook poststop <<<"$state"
    [ "$(ocinet ls --json)" = "[]" ]
    (
      export CNI_CONTAINERID=c1 CNI_NETNS=/proc/$pid/ns/net CNI_IFNAME=eth0 CNI_PATH=$bin
      CNI_COMMAND=VERSION in_host "$bin/bridge"
      CNI_COMMAND=ADD in_host "$bin/bridge" <<<"$conf" >"$BATS_TEST_TMPDIR/result"
      # shellcheck disable=SC2016 # jq's variable
      chained=$(jq -c --slurpfile result "$BATS_TEST_TMPDIR/result" '. + { type: "portmap", prevResult: $result[0],
        runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } }' <<<"$conf")
      CNI_COMMAND=ADD in_host "$bin/portmap" <<<"$chained"
      CNI_COMMAND=DEL in_host "$bin/portmap" <<<"$chained"
      CNI_COMMAND=DEL in_host "$bin/bridge" <<<"$conf"
    )
  done
  stop inside
}

@test "OCINET_DEBUG tells where an error was thrown, in lines of the sources by scripts/trace.ts" {
  local runtime
  for runtime in deno node; do
    export OCINET_RUNTIME=$runtime
    run -1 ocinet up 99999999
    [ ${#lines[@]} = 1 ]
    OCINET_DEBUG=1 run -1 ocinet up 99999999
    run -0 "$PROJECT/node_modules/.bin/deno" run -A "$PROJECT/scripts/trace.ts" <<<"$output"
    [ "${lines[0]}" = "ocinet: Cannot use process 99999999: it does not run" ]
    # The first is in the eager part, the second in a lazily loaded one.
    [[ $output == *"src/engine/namespace.ts:"*"src/commands/up.ts:"*"src/commands/program.ts:"* ]]
  done
}
