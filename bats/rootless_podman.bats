#!/usr/bin/env bats
# podman, with and without root: it calls ocinet by a file of a hooks.d directory, and is itself told --network none.
load lib
load rootless

setup() {
  set_up_hosts
  # Of two uplinks, that would be the better (uplinks.bats).
  hide pasta
  HOOKS=$BATS_TEST_TMPDIR/hooks ROOTFS=$BATS_TEST_TMPDIR/rootfs
  mkdir "$HOOKS"
  cp -a "$(busybox_rootfs)" "$ROOTFS"
}

teardown() {
  podman rm --force --all --time 0 >/dev/null 2>&1 || true
  # The process that keeps an ordinary user's namespaces between two calls.
  [ ! -e "$HOST_DIR/user/run/libpod/tmp/pause.pid" ] || kill -KILL "$(<"$HOST_DIR/user/run/libpod/tmp/pause.pid")"
  tear_down_hosts
}

# as_root, or as_rootless: who the rest of the test is, with a hooks.d file of their own
as_root() {
  WHO=root
  ocinet hooks-json >"$HOOKS/ocinet.json"
}

as_rootless() {
  WHO=user
  chown -R "$OCINET_TEST_USER:$OCINET_TEST_USER" "$ROOTFS"
  as_user "$OCINET" hooks-json >"$HOOKS/ocinet.json"
}

podman() {
  local common=(--storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime crun --hooks-dir "$HOOKS")
  if [ "$WHO" = user ]; then
    as_user podman "${common[@]}" "$@"
  else
    in_host podman --root "$BATS_TEST_TMPDIR/podman/root" --runroot "$BATS_TEST_TMPDIR/podman/run" \
      --tmpdir "$BATS_TEST_TMPDIR/podman/tmp" "${common[@]}" "$@"
  fi
}

# podman_run OPTIONS... -- COMMAND...
podman_run() {
  local options=(--network none --cgroups disabled --security-opt seccomp=unconfined)
  [ "$WHO" = user ] || options+=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  podman run "${options[@]}" --rootfs "$ROOTFS" "${@:2}"
}

# detached NAME OPTIONS...: one that goes on; sets PID
detached() {
  podman_run --detach --name "$1" "${@:2}" -- sleep 1000 >/dev/null 3>&-
  PID=$(podman inspect --format '{{.State.Pid}}' "$1")
}

in_pid() { in_host nsenter --net="/proc/$PID/ns/net" -- "$@"; }

ls_json() {
  case $WHO in
    user) as_user "$OCINET" ls --json ;;
    *) ocinet ls --json ;;
  esac
}

no_containers() { [ "$(ls_json)" = "[]" ]; }
no_slirp() { ! processes | grep -E '^(slirp4netns|nsenter|cat$|tail)'; }

@test "root: an annotation selects the network, and it is gone with the container" {
  as_root
  run -0 podman_run --rm --annotation org.ocinet.net=default -- ip -o address show eth0
  [[ $output == *"inet 172.16.28.2/24"*"inet6 fd6f:6369:6e65:28::2/64"* ]]
  no_containers
  run ! podman_run --rm -- ip -o address show eth0
}

@test "root: ports are published, and freed" {
  as_root
  detached web --annotation org.ocinet.net=default --annotation org.ocinet.publish=8080:80
  ls_json | jq -e --argjson pid "$PID" '.[0] | .state == "up" and .pid == $pid and .ports[0].mapping == "8080:80/tcp"'
  serve tcp 80 in_pid
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  podman rm --force --time 0 web
  no_containers
  unanswered tcp 192.0.2.1 8080 in_peer
}

@test "rootless: an annotation selects the network, which is there from the first moment" {
  as_rootless
  serve tcp 8000 in_peer
  run -0 podman_run --rm --annotation org.ocinet.net=default -- \
    sh -c 'ip -o address show eth0; echo hello | nc 192.0.2.2 8000; echo hello | nc 2001:db8:1::2 8000'
  [[ $output == *"inet 10.0.2.100/24"*"inet6 fd00::100/64"* ]]
  [ "${lines[-2]}" = 192.0.2.1 ]
  [ "$(plain_address <<<"${lines[-1]}")" = 2001:db8:1::1 ]
  no_containers
  no_slirp
  run ! podman_run --rm -- ip -o address show eth0
}

@test "rootless: default-restricted has no way out, and can be taken down from outside" {
  as_rootless
  serve tcp 8000 in_peer
  detached web --annotation org.ocinet.net=default-restricted --annotation org.ocinet.publish=8080:80
  serve tcp 80 in_pid
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  unanswered tcp 192.0.2.2 8000 in_pid
  as_user "$OCINET" down "$(ls_json | jq -r '.[0].id')"
  wait_for no_slirp
}

@test "rootless: it is gone when the container is killed" {
  as_rootless
  detached web --annotation org.ocinet.net=default --annotation "org.ocinet.publish=[::1]:8080:80"
  run ! no_slirp
  nothing_is_blocked
  kill -KILL "$PID"
  wait_for no_slirp
  wait_for no_containers || as_user "$OCINET" gc
  no_containers
}

@test "rootless: one hooks.d file of root's serves every user" {
  as_rootless
  in_host env -u OCINET_STATE_DIR "$OCINET" hooks-json >"$HOOKS/ocinet.json"
  detached web --annotation org.ocinet.net=default
  ls_json | jq -e '.[0].state == "up"'
  [ -S "$(find "$HOST_DIR/user/run/ocinet" -type s)" ]
}

@test "rootless: in one more user namespace, with one's own id" {
  as_rootless
  serve tcp 8000 in_peer
  run -0 podman_run --rm --userns keep-id --annotation org.ocinet.net=default -- sh -c 'id -u; echo hello | nc 192.0.2.2 8000'
  [ "${lines[-2]} ${lines[-1]}" = "$(id -u "$OCINET_TEST_USER") 192.0.2.1" ]
  no_containers
  wait_for no_slirp
}

@test "rootless: what cannot work keeps the container from starting, and the log says why" {
  as_rootless
  run ! podman_run --rm --annotation org.ocinet.net=default --annotation org.ocinet.publish=80:80 -- true
  grep 'Cannot publish "80:80/tcp" without root: ports below 1024' "$HOST_DIR/user/run/ocinet/hook.log"
  no_containers
  no_slirp
}
