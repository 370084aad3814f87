#!/usr/bin/env bats
# Every way to the world under every runtime, for an ordinary user's containers: the same questions to each pair. Run by
# root, so that what is left is seen.
load lib
load rootless
load helper

setup() {
  set_up_hosts
  renew_pasta
  name_server in_peer
  SAID=$BATS_TEST_TMPDIR/bundles/c1/rootfs/tmp/said
}

for uplink in pasta slirp4netns helper; do
  for runtime in run runc crun podman; do
    bats_test_function --description "$uplink, $runtime: out, names, ports, who connects, and nothing stays" -- connects "$uplink" "$runtime"
    bats_test_function --description "$uplink, $runtime: each of its processes killed, and nothing stays" -- is_killed "$uplink" "$runtime"
  done
done

connects() {
  serve tcp 8000 in_peer
  set_up_pair "$@"
  # shellcheck disable=SC2016 # the container's shell
  start_pair 'for address in 192.0.2.2 198.51.100.1 2001:db8:1::2; do echo hello | busybox nc $address 8000; done >$0
    busybox nslookup -type=a www.example >>$0; exec sleep 1000' -p 8080:80 -p 5353:53/udp
  wait_for grep -qs "198.51.100.1$" "$SAID"
  [ "$(head -n 2 "$SAID" | sort -u)" = 192.0.2.1 ]
  [ "$(sed -n 3p "$SAID" | plain_address)" = 2001:db8:1::1 ]
  inspected | jq -e --arg uplink "$UPLINK" '.[0] | .state == "up" and .networks[0].by == $uplink and
    (.ports | length == 2 and all(.driver == $uplink and .keepsClientAddress))'
  serve tcp 80 in_pair
  serve udp 53 in_pair
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.1 8080 in_host)" = 192.0.2.1 ]
  stop_servers
  end_pair
  wait_for nothing_of_pair
  [ ! -e "$(user_state)/containers/c1" ]
  run ! ask_within 1 tcp 192.0.2.1 8080 in_peer
}

is_killed() {
  local number pid pids
  set_up_pair "$@"
  start_pair 'exec sleep 1000' -p 8080:80
  mapfile -t pids < <(pids_of_pair)
  end_pair
  wait_for nothing_of_pair
  for ((number = 0; number <= ${#pids[@]}; number++)); do
    start_pair 'exec sleep 1000' -p 8080:80
    if ((number)); then
      pid=$(pids_of_pair | sed -n "${number}p")
      kill -KILL "$pid"
      wait_for gone "$pid"
    fi
    die_pair
    wait_for nothing_of_pair || fail "Number $number killed, it leaves:" "$(left_of_pair)"
    [ "$RUNTIME" = run ] || end_pair
    as_user "$OCINET" gc
    [ ! -e "$(user_state)/containers/c1" ]
  done
}

# set_up_pair UPLINK RUNTIME
set_up_pair() {
  UPLINK=$1 RUNTIME=$2
  if [ "$UPLINK" = helper ]; then
    start_helper "TEST_USER veth ocinet0 1" "TEST_USER port 8080/tcp" "TEST_USER port 5353/udp"
  fi
  # Where a container writes, and what it calls that.
  SAID=$(path_of c1)/rootfs/tmp/said SAYS=/tmp/said
  if [ "$RUNTIME" = run ]; then SAID=$HOST_DIR/user/home/said SAYS=$SAID; fi
}

# start_pair SCRIPT OPTIONS...: a container that runs it, $0 being where it writes; sets PID
start_pair() {
  local command=(sh -c "$1" "$SAYS") options=(--uplink "$UPLINK" "${@:2}")
  # A network of root's that names no resolver.
  [ "$UPLINK" != helper ] || options+=(--dns 192.0.2.2)
  case $RUNTIME in
    run)
      background c1 as_user "$OCINET" run --id c1 "${options[@]}" -- "${command[@]}"
      wait_for is_up
      PID=$(inspected c1 | jq '.[0].pid')
      ;;
    podman)
      [ -e "$(path_of c1)" ] || make_bundle "$(path_of c1)" crun rootless
      as_user "$OCINET" hooks-json "${options[@]}" >"$BATS_TEST_TMPDIR/ocinet.json"
      pod run --detach --name c1 --network none --cgroups disabled --security-opt seccomp=unconfined \
        --annotation org.ocinet.net=default --rootfs "$(path_of c1)/rootfs" "${command[@]}" >/dev/null 3>&-
      PID=$(pod inspect --format '{{.State.Pid}}' c1)
      ;;
    *)
      bundle c1 "${options[@]}"
      set_config "$(path_of c1)" '.root.readonly = false'
      set_args "$(path_of c1)" "${command[@]}"
      start_container c1 "$(path_of c1)"
      PID=$(container_pid c1)
      ;;
  esac
}

pod() {
  as_user podman --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime crun \
    --hooks-dir "$BATS_TEST_TMPDIR" "$@"
}

# podman's id for a container is of its own making.
inspected() { as_user "$OCINET" inspect --json "$(as_user ls "$(user_state)/containers")"; }
is_up() { [ "$(inspected 2>/dev/null | jq -r '.[0].state')" = up ]; }
in_pair() { in_host nsenter --net="/proc/$PID/ns/net" -- "$@"; }

# end_pair: as its runtime ends it
end_pair() {
  case $RUNTIME in
    run) stop c1 ;;
    podman) end_pod ;;
    *) delete_container c1 ;;
  esac
}

# end_pod: and the process that keeps podman's namespaces between two calls
end_pod() {
  # It fails where the container has just ended.
  wait_for pod rm --force --time 0 c1 >/dev/null
  kill -KILL "$(<"$HOST_DIR/user/run/libpod/tmp/pause.pid")"
}

# die_pair: the container ends by itself, maybe without its runtime
die_pair() {
  if [ "$RUNTIME" = run ]; then stop c1; else kill -KILL "$PID"; fi
}

stop_servers() {
  local path
  for path in "$BATS_TEST_TMPDIR"/background/{tcp,udp}*; do stop "${path##*/}"; done
}

# pids_of_pair: of all that runs for the container, in the order of their making; not of it itself, nor the process that
# keeps podman's namespaces between two calls
pids_of_pair() {
  local pid user pause
  user=$(id -u "$OCINET_TEST_USER")
  pause=$(cat "$HOST_DIR/user/run/libpod/tmp/pause.pid" 2>/dev/null || echo none)
  for pid in $(test_pids | grep -vxE "$PID|$pause"); do
    ! grep -qsE "^Uid:\s${user}\s" "/proc/$pid/status" || echo "$pid"
  done
}

nothing_of_pair() { gone "$PID" && [ -z "$(left_of_pair)" ]; }
left_of_pair() {
  local pid
  for pid in $(pids_of_pair); do tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" && echo; done
  [ "$UPLINK" != helper ] || helpers_containers
}
